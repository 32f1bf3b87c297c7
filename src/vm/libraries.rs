//! The libraries that come with Redis: `cjson`, `cmsgpack`, `struct` and `bit`.

use mlua::ffi::LUA_GLOBALSINDEX;

use super::api::{ApiContexts, ApiSpec, LUA_API, Member, cjson};
use super::native::{Stack, State};

/// A library, as stock makes it.
struct Library {
    name: &'static str,
    /// The members in the order in which stock adds them: `pairs` shows it.
    members: &'static [&'static str],
    /// Whether stock makes room for all members at once, which shows in the order as well.
    is_sized: bool,
}

const CJSON: Library = Library {
    name: "cjson",
    members: &[
        "encode",
        "decode",
        "encode_sparse_array",
        "encode_max_depth",
        "decode_max_depth",
        "encode_number_precision",
        "encode_keep_buffer",
        "encode_invalid_numbers",
        "decode_invalid_numbers",
        "new",
        "null",
        "_NAME",
        "_VERSION",
    ],
    is_sized: false,
};

/// The libraries without settings.
const PLAIN: [Library; 3] = [
    Library { name: "struct", members: &["pack", "unpack", "size"], is_sized: true },
    Library {
        name: "cmsgpack",
        members: &[
            "pack",
            "unpack",
            "unpack_one",
            "unpack_limit",
            "_NAME",
            "_VERSION",
            "_COPYRIGHT",
            "_DESCRIPTION",
        ],
        is_sized: false,
    },
    Library {
        name: "bit",
        members: &[
            "tobit", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror",
            "bswap", "tohex",
        ],
        is_sized: true,
    },
];

/// Adds the libraries to the globals.
pub(super) fn install(stack: &mut Stack<'_>) {
    cjson::prepare(stack);
    push(stack, &CJSON, Some(cjson::push_shared_settings));
    stack.set_field(LUA_GLOBALSINDEX, CJSON.name.as_bytes());
    for library in &PLAIN {
        push(stack, library, None);
        stack.set_field(LUA_GLOBALSINDEX, library.name.as_bytes());
    }
}

/// Puts back what the run that ended changed.
#[inline]
pub(super) fn restore(state: &State) {
    if state.shared().settings_touched.replace(false) {
        state.with_stack(cjson::restore_shared_settings);
    }
}

/// Pushes a `cjson` with settings of its own.
pub(super) fn push_cjson(stack: &mut Stack<'_>) {
    push(stack, &CJSON, Some(cjson::push_settings));
}

/// Pushes a library whose functions share the data that `push_data` pushes.
fn push(stack: &mut Stack<'_>, library: &Library, push_data: Option<fn(&mut Stack<'_>)>) {
    let data = push_data.map(|push_data| {
        push_data(stack);
        stack.top()
    });
    let count = i32::try_from(library.members.len()).unwrap_or_default();
    stack.push_sized_table(0, if library.is_sized { count } else { 0 });
    for name in library.members {
        let declared = |spec: &&ApiSpec| spec.table == library.name && spec.name == *name;
        if let Some(spec) = LUA_API.iter().find(declared) {
            add_member(stack, spec, data);
        }
    }

    let beyond = |spec: &&ApiSpec| {
        spec.table == library.name && spec.contexts.contains(ApiContexts::BEYOND_STOCK)
    };
    if LUA_API.iter().any(|spec| beyond(&spec)) {
        stack.push_table();
        stack.push_table();
        for spec in LUA_API.iter().filter(beyond) {
            add_member(stack, spec, data);
        }
        stack.set_field(-2, b"__index");
        stack.set_metatable(-2);
    }
    if let Some(data) = data {
        stack.remove(data);
    }
}

/// Adds a member to the table on top, unless the host has none; `data` is where the data that goes with
/// its functions lies.
pub(super) fn add_member(stack: &mut Stack<'_>, spec: &ApiSpec, data: Option<i32>) {
    let dialect = stack.shared().dialect;
    match spec.member {
        Member::Function(function) => match data {
            Some(data) => {
                stack.push_copy(data);
                stack.push_closure(function.0);
            }
            None => stack.push_function(function.0),
        },
        Member::Number(value) => stack.push_number(value),
        Member::Text(text) => stack.push_bytes(text.as_bytes()),
        Member::Value(push) => (push.0)(stack),
        Member::HostNumber(value) => match value(dialect) {
            Some(value) => stack.push_number(value),
            None => return,
        },
        Member::HostText(value) => match value(dialect) {
            Some(value) => stack.push_bytes(value.as_bytes()),
            None => return,
        },
    }
    stack.set_field(-2, spec.name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_a_library_is_declared() {
        for library in PLAIN.iter().chain([&CJSON]) {
            let stock = |spec: &&ApiSpec| {
                spec.table == library.name && !spec.contexts.contains(ApiContexts::BEYOND_STOCK)
            };
            let mut declared: Vec<_> = LUA_API.iter().filter(stock).map(|spec| spec.name).collect();
            declared.sort_unstable();
            let mut members = library.members.to_vec();
            members.sort_unstable();
            assert_eq!(declared, members, "{}", library.name);
        }
    }
}
