//! The help of a session: stock's, line by line as each server has it, and what is beyond it.

use crate::dialect::{Dialect, Hosts};

/// What the host's own debugger answers.
pub(super) fn stock(dialect: Dialect) -> String {
    let is_valkey = dialect.is(Hosts::Valkey);
    let api = if is_valkey { "server" } else { "redis" };
    let title = if is_valkey { "Lua debugger help:" } else { "Redis Lua debugger help:" };
    let call = match is_valkey {
        true => "[v]alkey <cmd>       Execute a command.",
        false => "[r]edis <cmd>        Execute a Redis command.",
    };
    let logged = if is_valkey { "Trim logged replies" } else { "Trim logged Redis replies" };
    let width = 21;
    let debug = format!("{api}.debug()");
    let breakpoint = format!("{api}.breakpoint()");
    format!(
        "\
{title}
[h]elp               Show this help.
[s]tep               Run current line and stop again.
[n]ext               Alias for step.
[c]ontinue           Run till next breakpoint.
[l]ist               List source code around current line.
[l]ist [line]        List source code around [line].
                     line = 0 means: current position.
[l]ist [line] [ctx]  In this form [ctx] specifies how many lines
                     to show before/after [line].
[w]hole              List all source code. Alias for 'list 1 1000000'.
[p]rint              Show all the local variables.
[p]rint <var>        Show the value of the specified variable.
                     Can also show global vars KEYS and ARGV.
[b]reak              Show all breakpoints.
[b]reak <line>       Add a breakpoint to the specified line.
[b]reak -<line>      Remove breakpoint from the specified line.
[b]reak 0            Remove all breakpoints.
[t]race              Show a backtrace.
[e]val <code>        Execute some Lua code (in a different callframe).
{call}
[m]axlen [len]       {logged} and Lua var dumps to len.
                     Specifying zero as <len> means unlimited.
[a]bort              Stop the execution of the script. In sync
                     mode dataset changes will be retained.

Debugger functions you can call from Lua scripts:
{debug:width$}Produce logs in the debugger console.
{breakpoint:width$}Stop execution like if there was a breakpoint in the
                     next line of code.
"
    )
}

/// What is beyond it.
pub(super) fn more() -> String {
    "\
Beyond the commands of 'help':
[b]reak <line> if <expression>
                     Stop there only if the expression is true. It sees
                     local variables, and so does what follows.
[b]reak function <name>
                     Stop at the first line of the function.
watch <expression>   Stop where its value has changed.
watch                Show what is watched.
unwatch [expression] Stop watching it, or anything.
[p]rint <expression> <depth>
                     Show its value as a tree of that many levels.
"
    .to_owned()
}
