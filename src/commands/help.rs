//! HELP of a container, from the declarations of its subcommands.

use super::spec::{COMMANDS, shown};
use crate::dialect::{Dialect, Hosts};
use crate::resp::ReplySink;

/// Replies with the HELP of `container`, whose subcommands stock explains in this order.
///
/// Stock: `networking.c` `addReplyHelp`.
pub(super) fn help(container: &str, order: &[&str], dialect: Dialect, reply: &mut impl ReplySink) {
    let mut subcommands: Vec<_> = COMMANDS
        .iter()
        .filter(|spec| spec.subcommand().is_some_and(|(of, own)| of == container && own != "HELP"))
        .collect();
    subcommands.sort_by_key(|spec| {
        let own = spec.subcommand().map_or("", |(_, own)| own);
        (order.iter().position(|name| *name == own), own)
    });

    let container = shown(container);
    let title = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let about_help =
        if dialect.is(Hosts::Redis70) { "Prints this help." } else { "Print this help." };
    let about_help = format!("    {about_help}");
    let lines = subcommands.iter().flat_map(|spec| spec.help_for(dialect).iter().copied());
    let lines: Vec<&str> =
        [title.as_str()].into_iter().chain(lines).chain(["HELP", &about_help]).collect();

    reply.array(lines.len());
    for line in lines {
        reply.status(line.as_bytes());
    }
}
