//! `os.clock`, all there is of `os`.

use super::spec::{ApiContexts, ApiSpec, Function, LUA_API, Member};
use crate::register::register;
use crate::vm::native::{NativeResult, Stack, cpu_seconds};

register!(LUA_API: CLOCK: ApiSpec = ApiSpec {
    table: "os",
    name: "clock",
    signature: "os.clock(): number",
    summary: "Returns the processor time the server used, in seconds.",
    contexts: ApiContexts::RUN,
    member: Member::Function(Function(clock)),
});

fn clock(stack: &mut Stack<'_>) -> NativeResult {
    stack.push_number(cpu_seconds());
    Ok(1)
}
