/* What the project's edits add to Lua's C API. */

#ifndef redlua_h
#define redlua_h

#include "lua.h"


/*
** Read-only tables
*/

/* Makes the table at `index` refuse every change, or allows changes again. */
LUA_API void lua_enablereadonlytable (lua_State *L, int index, int enabled);

/* Whether the table at `index` refuses changes. */
LUA_API int lua_isreadonlytable (lua_State *L, int index);


/*
** Source
*/

/* Sets how many bytes of source a chunk may have, however it is loaded. */
LUA_API void redlua_setsourcelimit (lua_State *L, size_t limit);


/*
** Order
*/

/* Chooses whose order `pairs` shows in all VMs of the process: 0 for Redis's,
   1 for Valkey's. To be called before the first VM is made. */
LUA_API void redlua_setorder (int order);


/*
** Interrupts
**
** Setting the flag makes the VM call the poll function soon: at the next call,
** the next jump back, or within a few thousand steps of a library function
** that loops. The poll lets the run go on, or ends it.
**
** A run that must end is dying. Nothing that belongs to the script can hold
** it: pcall, xpcall, load, coroutine.resume and coroutine.wrap raise on, no
** error handler runs, and every call raises before it begins. Whatever is
** raised becomes the one error of the run, which is
**   - the value of `redlua_setdeath`, with the status LUA_ERRRUN, where the
**     host ended the run;
**   - Lua's memory error, with the status LUA_ERRMEM, where an allocation
**     failed: a run that is out of memory is dying too.
** The host's own lua_pcall, lua_load and lua_resume do return, since frames
** of the host may lie between them and the script. Host code that stands in
** for a function which catches errors raises on by `redlua_rethrow`.
*/

/* Decides over a run whose flag was set: 0 lets it go on, any other value ends
   it. It may use the stack of `L`, which is put back as it was. */
typedef int (*redlua_Poll) (lua_State *L);

/* Sets the poll function of the VM. */
LUA_API void redlua_setpoll (lua_State *L, redlua_Poll poll);

/* The flag of the VM. Any thread may store 1 in it, nothing else; the VM
   clears it. It lives as long as the VM. */
LUA_API volatile int *redlua_interruptflag (lua_State *L);

/* Pops a value, which becomes the error of a run that the host ends. */
LUA_API void redlua_setdeath (lua_State *L);

/* Ends the run at once, as a poll would; never returns. */
LUA_API int redlua_die (lua_State *L);

/* Why the run is dying: 0 if it is not, LUA_ERRRUN or LUA_ERRMEM. */
LUA_API int redlua_isdying (lua_State *L);

/* Raises the error of the run if it is dying. */
LUA_API void redlua_rethrow (lua_State *L);

/* Polls if the flag is set; for functions of the host that loop. */
LUA_API void redlua_check (lua_State *L);

/* Makes the VM of a dead run usable again and forgets the value of
   `redlua_setdeath`. */
LUA_API void redlua_revive (lua_State *L);

#endif
