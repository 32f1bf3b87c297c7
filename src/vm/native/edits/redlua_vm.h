/* What the edited parts of Lua ask of each other. Included by lstate.h. */

#ifndef redlua_vm_h
#define redlua_vm_h

#include <stddef.h>

#include "lobject.h"

#if defined(__GNUC__)
#define l_unlikely(x)	__builtin_expect((x) != 0, 0)
#define l_cold		__attribute__((cold))
#define l_noinline	__attribute__((noinline))
#else
#define l_unlikely(x)	(x)
#define l_cold
#define l_noinline
#endif


/* Raises the error of a change to a read-only table. */
LUAI_FUNC l_cold void redluaH_modified (lua_State *L);

#define redluaH_checkwritable(L,t) \
  (l_unlikely((t)->readonly) ? redluaH_modified(L) : (void)0)


/* The hash part of every table that has none. */
extern const Node redluaH_dummynode;


/* Answers a set interrupt flag. May raise, and may move the stack. */
LUAI_FUNC l_cold void redluaD_interrupt (lua_State *L);

#define redluaD_check(L) \
  (l_unlikely(G(L)->interrupt) ? redluaD_interrupt(L) : (void)0)

/* The same before a function begins whose frame is on the stack already. */
LUAI_FUNC l_cold void redluaD_interruptcall (lua_State *L);

/* The bit of a thread's hook mask that has its functions sampled when they end
   while the interrupt flag is set; Lua's own bits are the lower ones. */
#define REDLUA_MASKSAMPLE	(1 << 7)

/* Has the host take a sample of a function that ends. Does not raise but for
   want of memory, and may move the stack. */
LUAI_FUNC l_cold void redluaD_sample (lua_State *L);

/* The status that an error of status `errcode` is raised with. */
LUAI_FUNC int redluaD_status (lua_State *L, int errcode);


/* `luaV_execute` for a thread with hooks. */
LUAI_FUNC void redluaV_hooked (lua_State *L, int nexeccalls);


/* Hash of a whole string, different in every process. */
LUAI_FUNC unsigned int redluaS_hash (const char *str, size_t l);

/* Hash of a number, different in every process. */
LUAI_FUNC l_cold unsigned int redluaH_hashnum (lua_Number n);

/* The hash that places `str` in `t`, where the fast path has no answer. */
LUAI_FUNC l_cold unsigned int redluaH_hashstr (const Table *t, TString *str);


/* Collects all garbage because a limit of memory is near. */
LUAI_FUNC l_cold void redluaC_near (lua_State *L);

/* A new block of `size` bytes, or NULL where Lua would raise. */
LUAI_FUNC void *redluaM_try (lua_State *L, size_t size);

#endif
