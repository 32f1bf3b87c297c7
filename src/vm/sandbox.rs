//! What of Lua's own libraries scripts may use: allow lists, never deny lists.
//!
//! The module's own members come from their declarations; these lists are for the rest.

/// Globals of Lua's base library, the tables of its other libraries included.
pub(super) const GLOBALS: &[&str] = &[
    "_G",
    "_VERSION",
    "assert",
    "collectgarbage",
    "coroutine",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "load",
    "loadstring",
    "math",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
];

/// Members of the libraries.
pub(super) const LIBRARIES: &[(&str, &[&str])] = &[
    ("coroutine", &["create", "resume", "running", "status", "wrap", "yield"]),
    (
        "math",
        &[
            "abs",
            "acos",
            "asin",
            "atan",
            "atan2",
            "ceil",
            "cos",
            "cosh",
            "deg",
            "exp",
            "floor",
            "fmod",
            "frexp",
            "huge",
            "ldexp",
            "log",
            "log10",
            "max",
            "min",
            "mod",
            "modf",
            "pi",
            "pow",
            "rad",
            "random",
            "randomseed",
            "sin",
            "sinh",
            "sqrt",
            "tan",
            "tanh",
        ],
    ),
    (
        "string",
        &[
            "byte", "char", "dump", "find", "format", "gfind", "gmatch", "gsub", "len", "lower",
            "match", "rep", "reverse", "sub", "upper",
        ],
    ),
    (
        "table",
        &["concat", "foreach", "foreachi", "getn", "insert", "maxn", "remove", "setn", "sort"],
    ),
];

/// Whether `list` names `member`.
pub(super) fn allows(list: &[&str], member: &[u8]) -> bool {
    list.iter().any(|name| name.as_bytes() == member)
}
