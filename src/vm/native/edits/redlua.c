/* The parts of the project's edits that are more than a few lines. */

#define redlua_c
#define LUA_CORE

#include <stddef.h>
#include <stdio.h>
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
#include "lvm.h"


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


static int less (lua_State *L, const TValue *a, const TValue *b, int type) {
  return (type == LUA_TNUMBER) ? luai_numlt(nvalue(a), nvalue(b))
                               : luaV_lessthan(L, a, b);
}


static void swap (TValue *a, int i, int j) {
  TValue item = a[i];
  a[i] = a[j];
  a[j] = item;
}


/* The algorithm is that of `table.sort`, step by step, since NaN shows which
   it is. Both searches end at an item: the pivot stands at u-1, and the median
   of three is not less than the item at l. */
static void sortitems (lua_State *L, TValue *a, int l, int u, int type) {
  while (l < u) {
    int i, j;
    TValue pivot;
    redluaD_check(L);
    if (less(L, a + u, a + l, type)) swap(a, l, u);
    if (u - l == 1) break;
    i = l + (u - l) / 2;
    if (less(L, a + i, a + l, type)) swap(a, i, l);
    else if (less(L, a + u, a + i, type)) swap(a, i, u);
    if (u - l == 2) break;
    pivot = a[i];
    swap(a, i, u - 1);
    i = l;
    j = u - 1;
    for (;;) {
      while (++i < u && less(L, a + i, &pivot, type)) {}
      while (--j > l && less(L, &pivot, a + j, type)) {}
      if (j < i) break;
      swap(a, i, j);
    }
    swap(a, u - 1, i);
    if (i - l < u - i) {
      j = l; i = i - 1; l = i + 2;
    }
    else {
      j = i + 1; i = u; u = j - 2;
    }
    sortitems(L, a, j, i, type);  /* the smaller part */
  }
}


LUA_API int redlua_sort (lua_State *L, int n) {
  Table *t = hvalue(L->base);
  int i, type;
  if (!ttisnil(L->base + 1) || t->readonly || n < 2 || n > t->sizearray)
    return 0;
  type = ttype(t->array);
  if (type != LUA_TNUMBER && type != LUA_TSTRING) return 0;
  for (i = 1; i < n; i++)
    if (ttype(t->array + i) != type) return 0;
  sortitems(L, t->array - 1, 1, n, type);
  return 1;
}


/*
** Numbers
*/

LUA_API void redlua_number2str (char *s, lua_Number n) {
  if (n > -1e14 && n < 1e14 && cast_num((long long)n) == n &&
      !(n == 0 && __builtin_signbit(n))) {
    unsigned long long left = (n < 0) ? -n : n;
    char digits[16];
    int first = sizeof(digits);
    do digits[--first] = cast(char, '0' + left % 10); while (left /= 10);
    if (n < 0) *s++ = '-';
    memcpy(s, digits + first, sizeof(digits) - first);
    s[sizeof(digits) - first] = '\0';
  }
  else
    sprintf(s, LUA_NUMBER_FMT, n);
}


LUA_API int redlua_str2integer (const char *s, lua_Number *result) {
  const char *digits = s + (*s == '-');
  const char *p = digits;
  long long value = 0;
  while (*p >= '0' && *p <= '9' && p - digits < 15)
    value = value * 10 + (*p++ - '0');
  if (p == digits || *p != '\0') return 0;
  *result = (digits != s) ? -cast_num(value) : cast_num(value);
  return 1;
}


/*
** Calls of the host's functions
*/

LUA_API void *redlua_native (lua_State *L, void **ud) {
  *ud = G(L)->ud;
  return pvalue(&curr_func(L)->c.upvalue[0]);
}


LUA_API int redlua_frame (lua_State *L, const void **first) {
  *first = L->base;
  return cast_int(L->top - L->base);
}


LUA_API int redlua_isresult (lua_State *L) {
  const CallInfo *caller = L->ci - 1;
  return caller == L->base_ci + 1 && isLua(caller) &&
         GET_OPCODE(caller->savedpc[-1]) == OP_TAILCALL &&
         L == G(L)->mainthread && !L->hookmask;
}


/*
** Interrupts
*/

/* Calls a function of the host as a hook is called: with room on the stack,
   not within itself, and with the stack put back after it. */
static int callhost (lua_State *L, redlua_Poll f) {
  ptrdiff_t top = savestack(L, L->top);
  ptrdiff_t ci_top = savestack(L, L->ci->top);
  int end;
  luaD_checkstack(L, LUA_MINSTACK);
  L->ci->top = L->top + LUA_MINSTACK;
  L->allowhook = 0;
  end = (*f)(L);
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
    if (g->poll == NULL || !callhost(L, g->poll)) return 0;
    if (!g->dying) startdying(L, LUA_ERRRUN);
  }
  return g->dying;
}


void redluaD_interrupt (lua_State *L) {
  int status = redlua_pollend(L);
  if (status != 0) luaD_throw(L, status);
}


void redluaD_interruptcall (lua_State *L) {
  int status;
  G(L)->entering = 1;
  status = redlua_pollend(L);
  G(L)->entering = 0;
  if (status != 0) luaD_throw(L, status);
}


void redluaD_sample (lua_State *L) {
  global_State *g = G(L);
  if (g->sample != NULL && L->allowhook && !g->dying)
    callhost(L, g->sample);
}


LUA_API void redlua_setsample (lua_State *L, redlua_Sample f) {
  G(L)->sample = f;
}


LUA_API void redlua_sampling (lua_State *L, int on) {
  if (on) L->hookmask |= REDLUA_MASKSAMPLE;
  else L->hookmask &= cast_byte(~REDLUA_MASKSAMPLE);
}


LUA_API int redlua_isentering (lua_State *L) {
  return G(L)->entering;
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
  g->entering = 0;
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
