//! Calls through the module API's pointers.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw::{self, RedisModuleCtx, RedisModuleString, RedisModuleUser};

/// Calls a module API function that every supported server has.
///
/// `api!(ReplyWithNull(ctx))` calls `RedisModule_ReplyWithNull`. The functions used this way are those that
/// [`missing`] looks for; the module refuses to load where one is missing.
macro_rules! api {
    ($name:ident($($argument:expr),* $(,)?)) => {
        paste::paste! {
            match redis_module::raw::[<RedisModule_ $name>] {
                Some(function) => function($($argument),*),
                None => std::hint::unreachable_unchecked(),
            }
        }
    };
}
pub(super) use api;

/// Finds the functions that the module needs before it tells the server its name: those that allocate, so
/// that every block comes from the server, and the one that reads arguments.
///
/// # Safety
/// `ctx` is the context of a load, and nothing is allocated yet.
pub(super) unsafe fn connect(ctx: *mut RedisModuleCtx) {
    type GetApi = unsafe extern "C" fn(*const c_char, *mut c_void) -> c_int;
    // SAFETY: a context begins with the function that finds all others.
    let Some(get_api) = (unsafe { ctx.cast::<Option<GetApi>>().read() }) else { return };
    // SAFETY: each name goes with the pointer of its type.
    unsafe {
        get_api(c"RedisModule_Alloc".as_ptr(), (&raw mut raw::RedisModule_Alloc).cast());
        get_api(c"RedisModule_Calloc".as_ptr(), (&raw mut raw::RedisModule_Calloc).cast());
        get_api(c"RedisModule_Realloc".as_ptr(), (&raw mut raw::RedisModule_Realloc).cast());
        get_api(c"RedisModule_Free".as_ptr(), (&raw mut raw::RedisModule_Free).cast());
        get_api(
            c"RedisModule_StringPtrLen".as_ptr(),
            (&raw mut raw::RedisModule_StringPtrLen).cast(),
        );
        get_api(c"RedisModule_ACLCheckPermissions".as_ptr(), ACL_CHECK_PERMISSIONS.as_ptr().cast());
    }
}

static ACL_CHECK_PERMISSIONS: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Asks about a user's right to a command in a database, and has room for the reason of a refusal.
pub(super) type AclCheckPermissions = unsafe extern "C" fn(
    *mut RedisModuleUser,
    *mut *mut RedisModuleString,
    c_int,
    c_int,
    *mut c_int,
) -> c_int;

/// `ACLCheckPermissions`, which Valkey has since 9.1.
pub(super) fn acl_check_permissions() -> Option<AclCheckPermissions> {
    let pointer = ACL_CHECK_PERMISSIONS.load(Ordering::Relaxed);
    // SAFETY: the server gave it for this name, or left it null.
    unsafe { std::mem::transmute::<*mut c_void, Option<AclCheckPermissions>>(pointer) }
}

macro_rules! required {
    ($($name:ident),* $(,)?) => {
        /// The names of the required functions the server does not have.
        pub(super) fn missing() -> Vec<&'static str> {
            let mut missing = Vec::new();
            $(
                // SAFETY: the pointers are written once, before anything else runs.
                if unsafe { raw::$name }.is_none() {
                    missing.push(stringify!($name));
                }
            )*
            missing
        }
    };
}

required! {
    RedisModule_ACLAddLogEntry,
    RedisModule_ACLCheckCommandPermissions,
    RedisModule_Alloc,
    RedisModule_AvoidReplicaTraffic,
    RedisModule_Call,
    RedisModule_CallReplyProto,
    RedisModule_Calloc,
    RedisModule_CommandFilterArgGet,
    RedisModule_CommandFilterArgReplace,
    RedisModule_CommandFilterArgsCount,
    RedisModule_CreateCommand,
    RedisModule_CreateDataType,
    RedisModule_CreateModuleUser,
    RedisModule_CreateString,
    RedisModule_CreateSubcommand,
    RedisModule_CreateTimer,
    RedisModule_DeauthenticateAndCloseClient,
    RedisModule_Free,
    RedisModule_FreeCallReply,
    RedisModule_FreeModuleUser,
    RedisModule_FreeServerInfo,
    RedisModule_FreeString,
    RedisModule_FreeThreadSafeContext,
    RedisModule_GetClientId,
    RedisModule_GetClientInfoById,
    RedisModule_GetClientNameById,
    RedisModule_GetClientUserNameById,
    RedisModule_GetCommand,
    RedisModule_GetCommandKeysWithFlags,
    RedisModule_GetContextFlags,
    RedisModule_GetContextFromIO,
    RedisModule_GetDetachedThreadSafeContext,
    RedisModule_GetModuleUserFromUserName,
    RedisModule_GetSelectedDb,
    RedisModule_GetServerInfo,
    RedisModule_InfoAddFieldCString,
    RedisModule_InfoAddFieldLongLong,
    RedisModule_InfoAddFieldULongLong,
    RedisModule_InfoAddSection,
    RedisModule_IsIOError,
    RedisModule_IsKeysPositionRequest,
    RedisModule_KeyAtPosWithFlags,
    RedisModule_LoadConfigs,
    RedisModule_LoadStringBuffer,
    RedisModule_LoadUnsigned,
    RedisModule_Log,
    RedisModule_Realloc,
    RedisModule_RegisterBoolConfig,
    RedisModule_RegisterEnumConfig,
    RedisModule_RegisterInfoFunc,
    RedisModule_RegisterNumericConfig,
    RedisModule_RegisterCommandFilter,
    RedisModule_Replicate,
    RedisModule_ReplySetMapLength,
    RedisModule_ReplySetSetLength,
    RedisModule_ReplyWithArray,
    RedisModule_ReplyWithBigNumber,
    RedisModule_ReplyWithBool,
    RedisModule_ReplyWithCallReply,
    RedisModule_ReplyWithDouble,
    RedisModule_ReplyWithError,
    RedisModule_ReplyWithLongLong,
    RedisModule_ReplyWithMap,
    RedisModule_ReplyWithNull,
    RedisModule_ReplyWithSet,
    RedisModule_ReplyWithSimpleString,
    RedisModule_ReplyWithStringBuffer,
    RedisModule_ReplyWithVerbatimStringType,
    RedisModule_SaveStringBuffer,
    RedisModule_SaveUnsigned,
    RedisModule_SelectDb,
    RedisModule_ServerInfoGetFieldC,
    RedisModule_ServerInfoGetFieldUnsigned,
    RedisModule_SetCommandInfo,
    RedisModule_SetModuleOptions,
    RedisModule_StringPtrLen,
    RedisModule_SubscribeToServerEvent,
    RedisModule_Yield,
}
