/* The parts of the project's edits that are more than a few lines. */

#define redlua_c
#define LUA_CORE

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

#include "ldebug.h"
#include "ldo.h"
#include "lgc.h"
#include "lmem.h"
#include "lobject.h"
#include "lstate.h"


/*
** Read-only tables
*/

void redluaH_modified (lua_State *L) {
  luaG_runerror(L, "Attempt to modify a readonly table");
}


LUA_API void lua_enablereadonlytable (lua_State *L, int index, int enabled) {
  cast(Table *, lua_topointer(L, index))->readonly = (enabled != 0);
}


LUA_API int lua_isreadonlytable (lua_State *L, int index) {
  return cast(const Table *, lua_topointer(L, index))->readonly;
}


/*
** Interrupts
*/

/* Calls the poll function as a hook is called: with room on the stack, not
   within itself, and with the stack put back after it. */
static int poll (lua_State *L) {
  ptrdiff_t top = savestack(L, L->top);
  ptrdiff_t ci_top = savestack(L, L->ci->top);
  int end;
  luaD_checkstack(L, LUA_MINSTACK);
  L->ci->top = L->top + LUA_MINSTACK;
  L->allowhook = 0;
  end = (*G(L)->poll)(L);
  L->allowhook = 1;
  L->ci->top = restorestack(L, ci_top);
  L->top = restorestack(L, top);
  return end;
}


/* The flag stays set, so that the run never gets past a check again. */
static void startdying (lua_State *L, int status) {
  G(L)->dying = cast_byte(status);
  G(L)->interrupt = 1;
}


void redluaD_interrupt (lua_State *L) {
  global_State *g = G(L);
  if (!L->allowhook) return;  /* a finalizer, a hook or the poll itself */
  if (!g->dying) {
    g->interrupt = 0;  /* before the poll, which must not miss a new request */
    if (g->poll == NULL || !poll(L)) return;
    if (!g->dying) startdying(L, LUA_ERRRUN);
  }
  luaD_throw(L, g->dying);
}


int redluaD_status (lua_State *L, int errcode) {
  global_State *g = G(L);
  if (errcode == LUA_ERRMEM && !g->dying) startdying(L, LUA_ERRMEM);
  return g->dying ? g->dying : errcode;
}


LUA_API void redlua_setpoll (lua_State *L, redlua_Poll f) {
  G(L)->poll = f;
}


LUA_API volatile int *redlua_interruptflag (lua_State *L) {
  return &G(L)->interrupt;
}


LUA_API void redlua_setdeath (lua_State *L) {
  L->top--;
  setobj(L, &G(L)->death, L->top);  /* a root, which needs no barrier */
}


LUA_API int redlua_die (lua_State *L) {
  if (!G(L)->dying) startdying(L, LUA_ERRRUN);
  redlua_rethrow(L);
  return 0;  /* to avoid warnings */
}


LUA_API int redlua_isdying (lua_State *L) {
  return G(L)->dying;
}


LUA_API void redlua_rethrow (lua_State *L) {
  if (l_unlikely(G(L)->dying)) luaD_throw(L, G(L)->dying);
}


LUA_API void redlua_check (lua_State *L) {
  redluaD_check(L);
}


LUA_API void redlua_revive (lua_State *L) {
  global_State *g = G(L);
  g->dying = 0;
  g->interrupt = 0;
  setnilvalue(&g->death);
}


/*
** Source
*/

LUA_API void redlua_setsourcelimit (lua_State *L, size_t limit) {
  G(L)->sourcelimit = limit;
}


/*
** Memory
*/

void *redluaM_try (lua_State *L, size_t size) {
  global_State *g = G(L);
  void *block = (*g->frealloc)(g->ud, NULL, 0, size);
  if (block != NULL) g->totalbytes += size;
  return block;
}


/*
** Libraries
*/

/* mlua refers to the libraries of files, processes, modules and debugging,
   none of which exist in this build. */
static int refuse (lua_State *L) {
  return luaL_error(L, "this library is not part of the VM");
}

LUALIB_API int luaopen_io (lua_State *L) { return refuse(L); }
LUALIB_API int luaopen_os (lua_State *L) { return refuse(L); }
LUALIB_API int luaopen_debug (lua_State *L) { return refuse(L); }
LUALIB_API int luaopen_package (lua_State *L) { return refuse(L); }
LUALIB_API void luaL_openlibs (lua_State *L) { refuse(L); }
