/* The parts of the project's edits that are more than a few lines. */

#define redlua_c
#define LUA_CORE

#include <stddef.h>
#include <string.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

#include "ldebug.h"
#include "ldo.h"
#include "lgc.h"
#include "lmem.h"
#include "lobject.h"
#include "lopcodes.h"
#include "lstate.h"
#include "lstring.h"
#include "ltable.h"


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
** Tables
*/

/* The host reads values where they lie and knows their layout by heart. */
#define at(type,field,place) \
  _Static_assert(offsetof(type, field) == (place), #type "." #field)

_Static_assert(sizeof(TValue) == 16, "TValue");
at(TValue, tt, 8);
_Static_assert(sizeof(Node) == 40, "Node");
at(Node, i_key, 16);
_Static_assert(sizeof(TString) == 24, "TString");
at(TString, tsv.len, 20);


static Table *tableat (lua_State *L, int index) {
  return hvalue(index > 0 ? L->base + index - 1 : L->top + index);
}


static TValue *newitem (lua_State *L, Table *t, int len) {
  if (l_unlikely(len >= t->sizearray))
    luaH_resizearray(L, t, len > 0 ? 2 * len : 1);
  return &t->array[len];
}


LUA_API void redlua_append (lua_State *L, int index, int len) {
  Table *t = tableat(L, index);
  TValue *item = newitem(L, t, len);
  L->top--;
  setobj2t(L, item, L->top);
  luaC_barriert(L, t, L->top);
}


LUA_API void redlua_appendnumber (lua_State *L, int index, int len,
                                  lua_Number n) {
  setnvalue(newitem(L, tableat(L, index), len), n);
}


LUA_API void redlua_appendstring (lua_State *L, int index, int len,
                                  const char *s, size_t l) {
  Table *t = tableat(L, index);
  TValue *item;
  TString *ts;
  luaC_checkGC(L);
  item = newitem(L, t, len);
  ts = luaS_newlstr(L, s, l);
  setsvalue2n(L, item, ts);
  luaC_objbarriert(L, t, ts);
}


LUA_API void redlua_fitlist (lua_State *L, int index, int room) {
  luaH_resizearray(L, tableat(L, index), room);
}


LUA_API int redlua_isbarelist (lua_State *L, int index, int room) {
  const Table *t = tableat(L, index);
  return t->sizearray == room && t->node == &redluaH_dummynode &&
         t->metatable == NULL && !t->readonly;
}


LUA_API void redlua_cutlist (lua_State *L, int index, int len) {
  Table *t = tableat(L, index);
  for (; len < t->sizearray; len++)
    setnilvalue(&t->array[len]);
}


/* Whether `i` may hand on the value of register `reg`. What uses a range of
   registers from A on counts as doing so, where the exact end does not matter
   to code that compilers make. */
static int handson (Instruction i, int reg) {
  int a = GETARG_A(i), b = GETARG_B(i), c = GETARG_C(i);
  switch (GET_OPCODE(i)) {
    case OP_LOADK: case OP_LOADBOOL: case OP_LOADNIL: case OP_GETUPVAL:
    case OP_GETGLOBAL: case OP_NEWTABLE: case OP_NOT: case OP_LEN:
    case OP_JMP: case OP_EQ: case OP_TEST: case OP_CLOSE: case OP_CLOSURE:
      return 0;  /* the variables a closure takes follow as moves */
    case OP_GETTABLE:
      return c == reg;
    case OP_MOVE: case OP_SELF: case OP_UNM: case OP_TESTSET:
      return b == reg;
    case OP_SETTABLE: case OP_ADD: case OP_SUB: case OP_MUL: case OP_DIV:
    case OP_MOD: case OP_POW: case OP_LT: case OP_LE:
      return b == reg || c == reg;
    case OP_CONCAT:
      return b <= reg && reg <= c;
    case OP_SETGLOBAL: case OP_SETUPVAL:
      return a == reg;
    case OP_RETURN:
      return a <= reg && b != 1 && (b == 0 || reg < a + b - 1);
    default:
      return a <= reg;
  }
}


LUA_API int redlua_handson (lua_State *L, int index) {
  const Closure *cl = cast(const Closure *, lua_topointer(L, index));
  const Proto *p;
  int found = 0;
  int reg, pc;
  if (cl->c.isC || cl->l.p->is_vararg) return 3;
  p = cl->l.p;
  for (reg = 0; reg < 2 && reg < p->numparams; reg++)
    for (pc = 0; pc < p->sizecode; pc++)
      if (handson(p->code[pc], reg)) found |= 1 << reg;
  return found;
}


LUA_API void redlua_pushlike (lua_State *L, const void *table) {
  const Table *from = cast(const Table *, table);
  int size = sizenode(from);
  Table *t;
  Node *node;
  int i;
  luaC_checkGC(L);
  t = luaH_new(L, 0, 0);
  sethvalue(L, L->top, t);
  L->top++;
  node = luaM_newvector(L, size, Node);
  memcpy(node, from->node, size * sizeof(Node));
  for (i = 0; i < size; i++) {
    if (gnext(node + i) != NULL)
      gnext(node + i) = node + (gnext(node + i) - from->node);
    if (!ttisnil(gval(node + i)))
      setbvalue(gval(node + i), 0);
  }
  t->node = node;
  t->lsizenode = from->lsizenode;
  t->lastfree = node + (from->lastfree - from->node);
  t->seeded = from->seeded;
  t->flags = 0;  /* the keys may name metamethods */
}


LUA_API int redlua_hasfields (lua_State *L, int index) {
  return tableat(L, index)->node != &redluaH_dummynode;
}


LUA_API int redlua_pushknown (lua_State *L, int index, const void *name) {
  Table *t = tableat(L, index);
  setobj2s(L, L->top, luaH_getstr(t, rawgco2ts(cast(GCObject *, name))));
  L->top++;
  return ttype(L->top - 1);
}


LUA_API const void *redlua_nameat (lua_State *L, int index) {
  return gcvalue(L->top + index);
}


LUA_API void redlua_setpair (lua_State *L, int index, int place) {
  Table *t = tableat(L, index);
  L->top--;
  setobj2t(L, gval(gnode(t, place)), L->top);
  luaC_barriert(L, t, L->top);
}


LUA_API void redlua_setpairnumber (lua_State *L, int index, int place,
                                   lua_Number n) {
  setnvalue(gval(gnode(tableat(L, index), place)), n);
}


LUA_API void redlua_setpairstring (lua_State *L, int index, int place,
                                   const char *s, size_t l) {
  Table *t = tableat(L, index);
  TString *ts;
  luaC_checkGC(L);
  ts = luaS_newlstr(L, s, l);
  setsvalue2n(L, gval(gnode(t, place)), ts);
  luaC_objbarriert(L, t, ts);
}


LUA_API void redlua_pushpair (lua_State *L, int index, int place) {
  const Node *node = gnode(tableat(L, index), place);
  setobj2s(L, L->top, key2tval(node));
  setobj2s(L, L->top + 1, gval(node));
  L->top += 2;
}


LUA_API void redlua_tableparts (const void *table, redlua_TableParts *parts) {
  const Table *t = cast(const Table *, table);
  parts->array = t->array;
  parts->node = t->node;
  parts->metatable = t->metatable;
  parts->items = t->sizearray;
  parts->nodes = sizenode(t);
}


LUA_API const void *redlua_tableitem (const void *table, int position) {
  return luaH_getnum(cast(Table *, table), position);
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


LUA_API int redlua_pollend (lua_State *L) {
  global_State *g = G(L);
  if (!g->interrupt) return 0;
  if (!L->allowhook) return 0;  /* a finalizer, a hook or the poll itself */
  if (!g->dying) {
    g->interrupt = 0;  /* before the poll, which must not miss a new request */
    if (g->poll == NULL || !poll(L)) return 0;
    if (!g->dying) startdying(L, LUA_ERRRUN);
  }
  return g->dying;
}


void redluaD_interrupt (lua_State *L) {
  int status = redlua_pollend(L);
  if (status != 0) luaD_throw(L, status);
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

/* The least that may be allocated between two full collections. */
#define NEARSTEP	(64u << 10)

/* Sets when the limit counts as near: when half of what is left is used. */
static void setnear (global_State *g) {
  lu_mem left = g->gclimit > g->totalbytes ? g->gclimit - g->totalbytes : 0;
  g->gcnear = g->totalbytes + (left / 2 > NEARSTEP ? left / 2 : NEARSTEP);
  if (g->GCthreshold > g->gcnear) g->GCthreshold = g->gcnear;
}


LUA_API void redlua_collectwithin (lua_State *L, size_t room) {
  global_State *g = G(L);
  g->gclimit = room < MAX_LUMEM - g->totalbytes ? g->totalbytes + room : MAX_LUMEM;
  setnear(g);
}


void redluaC_near (lua_State *L) {
  global_State *g = G(L);
  g->gcnear = MAX_LUMEM;
  luaC_fullgc(L);
  setnear(g);
}


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
