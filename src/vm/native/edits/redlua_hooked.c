/* The main loop once more, under another name: this one looks for the hooks of
   lines and counts at each instruction. Threads that have hooks run in it. */

#define REDLUA_HOOKED

#define luaV_tonumber redluaV_hookedtonumber
#define luaV_tostring redluaV_hookedtostring
#define luaV_gettable redluaV_hookedgettable
#define luaV_settable redluaV_hookedsettable
#define luaV_lessthan redluaV_hookedlessthan
#define luaV_equalval redluaV_hookedequalval
#define luaV_concat redluaV_hookedconcat
#define luaV_execute redluaV_hooked

#define LUA_CORE
#include "ldo.h"

/* What a call of a Lua function comes back with in such a thread. */
#undef PCRLUA
#define PCRLUA PCRHOOKED

#include "lvm.c"
