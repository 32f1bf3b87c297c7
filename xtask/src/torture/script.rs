//! The scripts that clients send, and the libraries they are wrapped into.

use super::dice::Dice;
use super::{grammar, hostile};

/// How many libraries there are, and functions in each.
pub const LIBRARIES: usize = 5;
const FUNCTIONS: usize = 4;

/// Around a script, `@`, that stays what it is otherwise.
const WRAPPERS: &[&str] = &[
    "@",
    "@",
    "@",
    "return pcall(function(...) @\nend)",
    "return coroutine.wrap(function(...) @\nend)()",
    "return xpcall(function(...) @\nend, function(e) return e end)",
    "local function f(...) @\nend return {f(1, 2, 3)}",
    "for i = 1, 2 do pcall(function(...) @\nend) end",
    "return select(2, coroutine.resume(coroutine.create(function(...) @\nend)))",
    "return setmetatable({}, {__index = function(...) @\nend}).x",
    "return loadstring([==[local KEYS, ARGV = ... @\n]==])(KEYS, ARGV)",
];

const SHEBANGS: &[&str] = &[
    "#!lua\n",
    "#!lua flags=no-writes\n",
    "#!lua flags=allow-oom\n",
    "#!lua flags=allow-stale,no-cluster\n",
    "#!lua flags=no-writes,allow-oom,allow-cross-slot-keys\n",
    "#!lua flags=nonsense\n",
    "#!ruby\n",
    "#!\r\n",
];

/// Writes scripts.
pub struct Scripts {
    /// Whether the server can end a script that does not end by itself.
    pub may_hang: bool,
}

impl Scripts {
    /// A script as `LUA.EVAL` takes it.
    pub fn script(&self, dice: &mut Dice) -> String {
        let body = self.body(dice);
        match dice.percent(10) {
            true => format!("{}{body}", dice.one(SHEBANGS)),
            false => body,
        }
    }

    fn body(&self, dice: &mut Dice) -> String {
        let script = if self.may_hang && dice.percent(8) {
            match dice.percent(80) {
                true => hostile::endless(dice),
                false => format!(
                    "while true do pcall(function(...) {}\nend) end",
                    grammar::program(dice, false)
                ),
            }
        } else if dice.percent(60) {
            hostile::finite(dice)
        } else {
            let may_write = dice.percent(50);
            grammar::program(dice, may_write)
        };
        dice.one(WRAPPERS).replace('@', &script)
    }

    /// A library as `LUA.FUNCTION LOAD` takes it: now and then one that cannot be loaded.
    pub fn library(&self, dice: &mut Dice) -> String {
        let number = dice.roll(LIBRARIES);
        let mut text = format!("#!lua name=l{number}\nlocal kept = {{}}\n");
        match dice.roll(20) {
            0 => text.push_str("while true do end\n"),
            1 => text.push_str("error({})\n"),
            2 => text.push_str("redis.call('set', 'a', 'b')\n"),
            3 => text.push_str("redis.register_function('a b', function() end)\n"),
            4 => text.push_str("for i = 1, 1e9 do kept[i] = {} end\n"),
            _ => {}
        }
        for function in 0..FUNCTIONS {
            let body = self.body(dice);
            let flags = if dice.percent(20) { ", flags = {'no-writes'}" } else { "" };
            text.push_str(&format!(
                "redis.register_function{{function_name = 'l{number}_f{function}', \
                 callback = function(KEYS, ARGV, ...) {body}\nend{flags}}}\n"
            ));
        }
        text
    }
}

/// The name of a function that a library may have.
pub fn function_name(dice: &mut Dice) -> String {
    format!("l{}_f{}", dice.roll(LIBRARIES), dice.roll(FUNCTIONS))
}

/// One of the few keys everybody uses.
pub fn key(dice: &mut Dice) -> String {
    format!("k{}", dice.roll(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_scripts() {
        let scripts = Scripts { may_hang: true };
        let write = || {
            let mut dice = Dice::new(5, 1);
            (0..50)
                .map(|_| scripts.script(&mut dice) + &scripts.library(&mut dice))
                .collect::<String>()
        };
        assert_eq!(write(), write());
    }

    #[test]
    fn only_who_may_hang_writes_endless_scripts() {
        let mut dice = Dice::new(1, 1);
        let scripts = Scripts { may_hang: false };
        for _ in 0..500 {
            assert!(!scripts.script(&mut dice).contains("while true do end"));
        }
    }
}
