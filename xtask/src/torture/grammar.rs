//! Random Lua programs that end: statements and expressions that are legal, and mostly make no sense.
//!
//! Every loop is short and every recursion is Lua's own to stop. Programs that may write are
//! kept apart from those that may not, because only the latter can be put into an endless loop.

use super::dice::Dice;

/// How deep statements and expressions nest.
const DEPTH: usize = 4;

const VARIABLES: &[&str] = &["a", "b", "c", "d", "e", "f"];

const LITERALS: &[&str] = &[
    "nil",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2.5",
    "1e308",
    "-0",
    "0/0",
    "1/0",
    "2^31",
    "2^53",
    "''",
    "'x'",
    "'10'",
    "'a\\0b'",
    "'\\r\\n'",
    "'\\255\\254'",
    "('x'):rep(1000)",
    "{}",
    "{1, 2, 3}",
    "KEYS",
    "ARGV",
    "KEYS[1]",
    "ARGV[1]",
    "#ARGV",
    "redis",
    "_G",
    "string",
    "cjson",
    "cjson.null",
    "error",
    "redis.call",
    "...",
    "{err = 'ERR made'}",
    "{ok = 'made'}",
    "{double = 1.5}",
    "{map = {a = 1}}",
];

const OPERATORS: &[&str] =
    &["+", "-", "*", "/", "%", "^", "..", "==", "~=", "<", "<=", ">", ">=", "and", "or"];

const FUNCTIONS: &[&str] = &[
    "tostring",
    "tonumber",
    "type",
    "select",
    "unpack",
    "next",
    "pairs",
    "ipairs",
    "rawget",
    "rawset",
    "rawequal",
    "setmetatable",
    "getmetatable",
    "pcall",
    "error",
    "assert",
    "loadstring",
    "load",
    "coroutine.create",
    "coroutine.resume",
    "coroutine.wrap",
    "coroutine.yield",
    "coroutine.status",
    "string.byte",
    "string.char",
    "string.find",
    "string.format",
    "string.gmatch",
    "string.gsub",
    "string.len",
    "string.lower",
    "string.match",
    "string.rep",
    "string.reverse",
    "string.sub",
    "table.concat",
    "table.insert",
    "table.maxn",
    "table.remove",
    "table.sort",
    "table.foreach",
    "math.floor",
    "math.fmod",
    "math.huge",
    "math.max",
    "math.random",
    "math.sqrt",
    "cjson.encode",
    "cjson.decode",
    "cmsgpack.pack",
    "cmsgpack.unpack",
    "struct.pack",
    "struct.unpack",
    "struct.size",
    "bit.band",
    "bit.lshift",
    "bit.tohex",
    "redis.sha1hex",
    "redis.error_reply",
    "redis.status_reply",
    "redis.setresp",
    "redis.acl_check_cmd",
    "collectgarbage",
    "xpcall",
    "cjson.new",
    "os.clock",
];

const METAMETHODS: &[&str] = &[
    "__index",
    "__newindex",
    "__call",
    "__add",
    "__concat",
    "__len",
    "__eq",
    "__lt",
    "__le",
    "__unm",
    "__tostring",
    "__metatable",
    "__mode",
    "__gc",
];

const READS: &[&str] = &[
    "'get', KEYS[1]",
    "'mget', KEYS[1], KEYS[2]",
    "'hgetall', KEYS[1]",
    "'lrange', KEYS[1], 0, -1",
    "'smembers', KEYS[1]",
    "'zrange', KEYS[1], 0, -1, 'withscores'",
    "'type', KEYS[1]",
    "'dbsize'",
    "'exists', KEYS[1]",
    "'keys', '*'",
    "'scan', 0",
    "'info', 'memory'",
    "'time'",
    "'ping'",
    "'object', 'encoding', KEYS[1]",
    "'memory', 'usage', KEYS[1]",
    "'strlen', KEYS[2]",
    "'echo', 'x'",
    "'randomkey'",
    "'dump', KEYS[1]",
    "'xrange', KEYS[1], '-', '+'",
    "'getrange', KEYS[1], 0, 100",
    "'nope'",
    "'get'",
    "'get', KEYS[1], 'x'",
    "'select', 3",
    "'select', 99",
    "'command', 'count'",
    "'multi'",
    "'eval', 'return 1', 0",
    "'subscribe', 'x'",
    "'config', 'get', '*'",
    "''",
    "'a\\r\\nb'",
];

const WRITES: &[&str] = &[
    "'set', KEYS[1], ARGV[1]",
    "'set', KEYS[2], 7",
    "'incr', KEYS[1]",
    "'incrby', KEYS[2], 2^40",
    "'append', KEYS[1], ARGV[1]",
    "'del', KEYS[1]",
    "'unlink', KEYS[2]",
    "'lpush', KEYS[1], 1, 2, 3",
    "'rpop', KEYS[1]",
    "'hset', KEYS[1], 'a', 1, 'b', ARGV[1]",
    "'hdel', KEYS[1], 'a'",
    "'sadd', KEYS[1], 1, 2, 'x'",
    "'spop', KEYS[1]",
    "'zadd', KEYS[1], 1.5, 'a', '-inf', 'b'",
    "'zincrby', KEYS[1], 1, 'a'",
    "'xadd', KEYS[1], '*', 'a', 'b'",
    "'setbit', KEYS[2], 9999, 1",
    "'setrange', KEYS[2], 5000, 'x'",
    "'pfadd', KEYS[1], 'a', 'b'",
    "'geoadd', KEYS[1], 1, 2, 'm'",
    "'rename', KEYS[1], KEYS[2]",
    "'copy', KEYS[1], KEYS[2]",
    "'persist', KEYS[1]",
    "'flushdb'",
    "'expire', KEYS[1], 100000",
    "'mset', KEYS[1], 1, KEYS[2], 2",
    "'getdel', KEYS[1]",
    "'publish', 'c', 'm'",
    "'sort', KEYS[1], 'store', KEYS[2]",
    "'bitop', 'not', KEYS[2], KEYS[1]",
];

/// Writes one program; it changes data only where `may_write` says so.
pub fn program(dice: &mut Dice, may_write: bool) -> String {
    let mut text = "local a, b, c, d, e, f = 1, 'x', {}, {1, 2, x = 3}, 2.5, KEYS\n".to_owned();
    let mut writer = Writer { dice, may_write };
    for _ in 0..2 + writer.dice.roll(10) {
        // Most of it raises an error; what follows shall have its turn.
        if writer.dice.percent(70) {
            let body = writer.statement(DEPTH);
            text.push_str(&format!("pcall(function(...) {body} end)\n"));
        } else {
            text.push_str(&writer.statement(DEPTH));
            text.push('\n');
        }
    }
    let last = writer.expression(DEPTH);
    text.push_str(&format!("return {last}"));
    text
}

struct Writer<'a> {
    dice: &'a mut Dice,
    may_write: bool,
}

impl Writer<'_> {
    fn block(&mut self, depth: usize) -> String {
        let count = 1 + self.dice.roll(3);
        (0..count).map(|_| self.statement(depth)).collect::<Vec<_>>().join(" ")
    }

    fn statement(&mut self, depth: usize) -> String {
        let variable = self.dice.one(VARIABLES);
        if depth == 0 {
            return format!("{variable} = {}", self.expression(0));
        }
        let inner = depth - 1;
        match self.dice.roll(16) {
            0 | 1 => format!("{variable} = {}", self.expression(inner)),
            2 => format!("local {variable} = {}", self.expression(inner)),
            3 => format!("for i = 1, {} do {} end", self.dice.roll(9), self.block(inner)),
            4 => format!("for k, v in pairs({variable}) do {} break end", self.block(inner)),
            5 => format!("if {} then {} end", self.expression(inner), self.block(inner)),
            6 => format!("pcall(function(...) {} end)", self.block(inner)),
            7 => format!("do return {} end", self.expression(inner)),
            8 => format!("error({})", self.expression(inner)),
            9 => {
                let key = self.expression(inner);
                format!("{variable}[{key}] = {}", self.expression(inner))
            }
            10 => format!("{variable} = {variable} .. {variable}"),
            11 => {
                let (name, value) = (self.dice.one(METAMETHODS), self.expression(inner));
                format!("{variable} = setmetatable({{}}, {{{name} = {value}}})")
            }
            12 => format!("coroutine.wrap(function(...) {} end)({variable})", self.block(inner)),
            13 => format!("c.{variable} = {variable}"),
            _ => format!("{variable} = {}", self.call()),
        }
    }

    fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            let of = if self.dice.percent(50) { VARIABLES } else { LITERALS };
            return (self.dice.one(of)).to_owned();
        }
        let inner = depth - 1;
        match self.dice.roll(12) {
            0 => format!("{{{}, {}}}", self.expression(inner), self.expression(inner)),
            1 => format!("{{x = {}, [{}] = 1}}", self.expression(inner), self.expression(inner)),
            2 | 3 => {
                let operator = self.dice.one(OPERATORS);
                format!("({} {operator} {})", self.expression(inner), self.expression(inner))
            }
            4 => {
                let operator = self.dice.one(&["not ", "-", "#"]);
                format!("({operator}{})", self.expression(inner))
            }
            5 | 6 => {
                let function = self.dice.one(FUNCTIONS);
                format!("{function}({}, {})", self.expression(inner), self.expression(inner))
            }
            7 => format!("(function(...) {} end)", self.block(inner)),
            8 => format!("(pcall({}, {}))", self.expression(inner), self.expression(inner)),
            9 => self.call(),
            _ => self.expression(0),
        }
    }

    fn call(&mut self) -> String {
        let writes = self.may_write && self.dice.percent(50);
        let arguments = self.dice.one(if writes { WRITES } else { READS });
        let function = self.dice.one(&["redis.call", "redis.pcall", "redis.pcall"]);
        format!("{function}({arguments})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_program_and_another_seed_another() {
        let write = |seed| program(&mut Dice::new(seed, 0), true);
        assert_eq!(write(1), write(1));
        assert_ne!(write(1), write(2));
    }

    #[test]
    fn programs_that_must_not_write_name_no_write() {
        for seed in 0..200 {
            let text = program(&mut Dice::new(seed, 0), false);
            assert!(!WRITES.iter().any(|write| text.contains(&format!("call({write})"))), "{text}");
        }
    }
}
