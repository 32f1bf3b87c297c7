//! Lua values as replies.

use std::ffi::c_int;

use super::error_value::until_nul;
use super::stack::{Kind, ReplyField, Stack};
use super::view::Value;
use crate::register::register;
use crate::resp::{ERRORS, ErrorReply, ErrorSpec, ReplySink, RespVersion};
use crate::vm::number;

register!(ERRORS: REPLY_TOO_LARGE: ErrorSpec = ErrorSpec::module(
    "ERR",
    "The reply of the script is larger than redlua.memory-limit",
    "A script returns tables that contain each other so often that the reply would not end.",
));

/// Sends the result of a script, which is on top of the stack, to `sink` and pops it.
///
/// `version` is the one the script chose: it decides how booleans go out. Tables are read raw, so no
/// metamethod runs; nesting ends where Lua's stack does.
///
/// # Errors
/// The reply would be larger than the memory limit; `sink` got nothing then.
///
/// Stock: `script_lua.c` `luaReplyToRedisReply`.
pub(super) fn reply<S: ReplySink>(
    stack: &mut Stack<'_>,
    version: RespVersion,
    sink: &mut S,
) -> Result<(), ErrorReply> {
    let dialect = stack.shared().dialect;
    let mut writer = Writer { stack, sink, version, weighed: false };
    writer.value().map_err(|TooLarge| ErrorReply::new(&REPLY_TOO_LARGE, dialect))
}

/// The reply is too large; found before anything of it was sent.
struct TooLarge;

type Written = Result<(), TooLarge>;

struct Writer<'a, 'vm, S> {
    stack: &'a mut Stack<'vm>,
    sink: &'a mut S,
    version: RespVersion,
    /// The reply is known to be small enough.
    weighed: bool,
}

impl<S: ReplySink> Writer<'_, '_, S> {
    /// Sends the value on top and pops it.
    fn value(&mut self) -> Written {
        if !self.stack.reserve(4) {
            self.sink.error(b"ERR reached lua stack limit");
            self.stack.pop(1);
            return Ok(());
        }
        match self.stack.kind(-1) {
            Kind::String => self.sink.bulk(self.stack.bytes(-1).unwrap_or_default()),
            Kind::Number => {
                let number = self.stack.number(-1).unwrap_or_default();
                self.sink.integer(number::to_integer(number));
            }
            Kind::Boolean => boolean(self.sink, self.version, self.stack.truth(-1)),
            Kind::Table => self.table()?,
            _ => self.sink.null(),
        }
        self.stack.pop(1);
        Ok(())
    }

    /// Sends the table on top: as the type one of its fields names, or as a list.
    fn table(&mut self) -> Written {
        if !self.stack.has_fields(-1) {
            return self.list();
        }
        if self.field(ReplyField::Err, Kind::String) {
            self.sink.error(until_nul(self.stack.bytes(-1).unwrap_or_default()));
        } else if self.field(ReplyField::Ok, Kind::String) {
            self.sink.status(until_nul(self.stack.bytes(-1).unwrap_or_default()));
        } else if self.field(ReplyField::Double, Kind::Number) {
            self.sink.double(self.stack.number(-1).unwrap_or_default());
        } else if self.field(ReplyField::BigNumber, Kind::String) {
            self.sink.big_number(self.stack.bytes(-1).unwrap_or_default());
        } else if self.verbatim() {
            return Ok(());
        } else if self.field(ReplyField::Map, Kind::Table) {
            self.map()?;
        } else if self.field(ReplyField::Set, Kind::Table) {
            self.set()?;
        } else {
            return self.list();
        }
        self.stack.pop(1);
        Ok(())
    }

    /// Pushes a field of the table on top if it has that type.
    fn field(&mut self, name: ReplyField, kind: Kind) -> bool {
        let found = self.stack.push_reply_field(-1, name) == kind;
        if !found {
            self.stack.pop(1);
        }
        found
    }

    /// Sends the table on top as a verbatim string if it is one.
    fn verbatim(&mut self) -> bool {
        if !self.field(ReplyField::Verbatim, Kind::Table) {
            return false;
        }
        let format = self.stack.push_field(-1, b"format");
        let text = self.stack.push_field(-2, b"string");
        let complete = format == Kind::String && text == Kind::String;
        if complete {
            let format = self.stack.bytes(-2).unwrap_or_default();
            self.sink.verbatim(format, self.stack.bytes(-1).unwrap_or_default());
        }
        self.stack.pop(3);
        complete
    }

    /// Sends the keys and values of the table on top.
    fn map(&mut self) -> Written {
        self.weigh()?;
        self.sink.map_start();
        let mut pairs = 0;
        self.stack.push_nil();
        while self.stack.next(-2) {
            self.stack.push_copy(-2);
            self.value()?;
            self.value()?;
            pairs += 1;
        }
        self.sink.map_end(pairs);
        Ok(())
    }

    /// Sends the keys of the table on top.
    fn set(&mut self) -> Written {
        self.weigh()?;
        self.sink.set_start();
        let mut members = 0;
        self.stack.push_nil();
        while self.stack.next(-2) {
            self.stack.pop(1);
            self.stack.push_copy(-1);
            self.value()?;
            members += 1;
        }
        self.sink.set_end(members);
        Ok(())
    }

    /// Sends the items of the table on top up to the first nil, if they are all in its array part, without
    /// tables among them, and no longer than the memory limit; false, and nothing is sent, otherwise.
    fn flat_list(&mut self) -> bool {
        let Value::Table(table) = self.stack.view(-1) else {
            return false;
        };
        let (items, mut others) = table.split();
        let room = items.len();
        let mut text = 0_usize;
        let mut len = 0;
        for item in items {
            match item {
                Value::String(bytes) => text += bytes.len(),
                Value::Nil => break,
                Value::Table(_) => return false,
                _ => {}
            }
            len += 1;
        }
        // Behind a full array part the list may go on among the other pairs.
        if text > self.stack.shared().limit() || (len == room && others.next().is_some()) {
            return false;
        }
        self.sink.array(len);
        for item in table.split().0.take(len) {
            match item {
                Value::String(bytes) => self.sink.bulk(bytes),
                Value::Number(value) => self.sink.integer(number::to_integer(value)),
                Value::Boolean(value) => boolean(self.sink, self.version, value),
                _ => self.sink.null(),
            }
        }
        true
    }

    /// Sends the items of the table on top up to the first nil.
    fn list(&mut self) -> Written {
        if self.flat_list() {
            return Ok(());
        }
        let mut len: c_int = 0;
        let mut nested = false;
        let mut text = 0_usize;
        loop {
            match self.stack.push_item(-1, len + 1) {
                Kind::Nil => break,
                Kind::Table => nested = true,
                Kind::String => text += self.stack.bytes(-1).map_or(0, <[u8]>::len),
                _ => {}
            }
            self.stack.pop(1);
            len += 1;
        }
        self.stack.pop(1);
        if nested || text > self.stack.shared().limit() {
            self.weigh()?;
        }
        self.sink.array(usize::try_from(len).unwrap_or_default());
        for position in 1..=len {
            self.stack.push_item(-1, position);
            self.value()?;
        }
        Ok(())
    }

    /// Sees to it, once for a reply, that the table on top does not weigh too much.
    ///
    /// Only what is in several places can weigh more than the memory it takes.
    fn weigh(&mut self) -> Written {
        if !self.weighed {
            let mut budget = self.stack.shared().limit();
            if !takes(self.stack, &mut budget) {
                self.stack.pop(2);
                return Err(TooLarge);
            }
            self.weighed = true;
        }
        Ok(())
    }
}

fn boolean<S: ReplySink>(sink: &mut S, version: RespVersion, value: bool) {
    match (version, value) {
        (RespVersion::Resp2, true) => sink.integer(1),
        (RespVersion::Resp2, false) => sink.null(),
        (RespVersion::Resp3, value) => sink.boolean(value),
    }
}

/// Takes what the value on top weighs as a reply from `budget`; false when it is used up.
fn takes(stack: &mut Stack<'_>, budget: &mut usize) -> bool {
    /// Bytes a value costs the server besides its text, about.
    const OVERHEAD: usize = 48;
    let text = stack.bytes(-1).map_or(0, <[u8]>::len);
    match budget.checked_sub(text + OVERHEAD) {
        Some(left) => *budget = left,
        None => return false,
    }
    if stack.kind(-1) != Kind::Table || !stack.reserve(4) {
        return true;
    }
    stack.push_nil();
    while stack.next(-2) {
        let fits = takes(stack, budget);
        stack.pop(1);
        // A key of a map and a member of a set are values of the reply too.
        if !fits || !takes(stack, budget) {
            stack.pop(1);
            return false;
        }
    }
    true
}
