//! Copies of Lua values for people to look at.

use std::ffi::c_int;

use mlua::ffi;

use crate::debugger::{Limits, Table, Value};
use crate::vm::native::stack::{Kind, Stack};
use crate::vm::number;

/// Copies the value at `index`.
pub(super) fn value(stack: &mut Stack<'_>, index: c_int, limits: Limits) -> Value {
    let room = c_int::try_from(limits.depth).unwrap_or(c_int::MAX / 8) * 3 + 8;
    if !stack.reserve(room) {
        return Value::LeftOut;
    }
    let top = stack.top();
    let index = if index < 0 { top + index + 1 } else { index };
    let mut copier = Copier { limits, path: Vec::new() };
    let value = copier.copy(stack, index, 0);
    stack.set_top(top);
    value
}

struct Copier {
    /// What is left of the values and the bytes.
    limits: Limits,
    /// Where the tables lie in which the present one lies.
    path: Vec<usize>,
}

impl Copier {
    fn copy(&mut self, stack: &mut Stack<'_>, index: c_int, depth: usize) -> Value {
        let kind = stack.kind(index);
        let is_deep = depth >= self.limits.depth;
        if self.limits.values == 0 {
            return Value::LeftOut;
        }
        self.limits.values -= 1;
        if is_deep && (kind == Kind::Table || !self.limits.marks_cycles) {
            return Value::TooDeep;
        }
        match kind {
            Kind::Nil | Kind::None => Value::Nil,
            Kind::Boolean => Value::Boolean(stack.truth(index)),
            Kind::Number => {
                let mut buffer = [0; 32];
                let value = stack.number(index).unwrap_or_default();
                Value::Number(number::format_precision(6, value, &mut buffer).to_vec())
            }
            Kind::String => {
                let bytes = stack.bytes(index).unwrap_or_default();
                let shown = &bytes[..bytes.len().min(self.limits.bytes)];
                self.limits.bytes -= shown.len();
                Value::String(shown.to_vec())
            }
            Kind::Table => {
                let address = address(stack, index);
                if self.limits.marks_cycles && self.path.contains(&address) {
                    return Value::Cycle;
                }
                self.path.push(address);
                let table = self.table(stack, index, depth);
                self.path.pop();
                Value::Table(table)
            }
            Kind::Function => Value::Opaque("function", address(stack, index)),
            Kind::Thread => Value::Opaque("thread", address(stack, index)),
            Kind::Userdata => {
                // SAFETY: the state is live.
                let tag = unsafe { ffi::lua_type(stack.raw(), index) };
                let is_light = tag == ffi::LUA_TLIGHTUSERDATA;
                let kind = if is_light { "light-userdata" } else { "userdata" };
                Value::Opaque(kind, address(stack, index))
            }
        }
    }

    fn table(&mut self, stack: &mut Stack<'_>, index: c_int, depth: usize) -> Table {
        let mut table = Table { is_list: true, pairs: Vec::new(), is_cut: false };
        let mut place = 1.0;
        stack.push_nil();
        while stack.next(index) {
            if self.limits.values == 0 || self.limits.bytes == 0 {
                table.is_cut = true;
                stack.pop(2);
                return table;
            }
            let (key, value) = (stack.top() - 1, stack.top());
            table.is_list &= stack.kind(key) == Kind::Number && stack.number(key) == Some(place);
            place += 1.0;
            let pair = (self.copy(stack, key, depth + 1), self.copy(stack, value, depth + 1));
            table.pairs.push(pair);
            stack.pop(1);
        }
        table
    }
}

fn address(stack: &Stack<'_>, index: c_int) -> usize {
    // SAFETY: the state is live.
    unsafe { ffi::lua_topointer(stack.raw(), index) }.addr()
}
