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
** Tables
*/

/* Pops a value that is not nil and puts it behind the `len` items of the list
   at `index`, which has nothing else and is not read-only. The list grows as
   it would by assignments. */
LUA_API void redlua_append (lua_State *L, int index, int len);

/* The same with a number or string that need not be on the stack. */
LUA_API void redlua_appendnumber (lua_State *L, int index, int len,
                                  lua_Number n);
LUA_API void redlua_appendstring (lua_State *L, int index, int len,
                                  const char *s, size_t l);

/* Gives the array part of the table at `index` room for `room` items, which
   are all it has. */
LUA_API void redlua_fitlist (lua_State *L, int index, int room);

/* Whether the table at `index` is as one that was made with room for `room`
   items: nothing but items, no metatable, not read-only. */
LUA_API int redlua_isbarelist (lua_State *L, int index, int room);

/* Clears the items behind the first `len` of such a list. */
LUA_API void redlua_cutlist (lua_State *L, int index, int len);

/* Which of its first two parameters the function at `index` may hand on to
   anything that outlives a call: 1 for the first, 2 for the second, or both. A
   parameter that is only indexed, measured or tested is not handed on. */
LUA_API int redlua_handson (lua_State *L, int index);

/* Pushes a table that has the keys of `table` where `table` has them, all with
   the value false. `table` has no array part, and only strings for keys. */
LUA_API void redlua_pushlike (lua_State *L, const void *table);

/* Whether the table at `index` has anything but items. */
LUA_API int redlua_hasfields (lua_State *L, int index);

/* Pushes the value under the string at `name` in the table at `index`, without
   metamethods, and gives its type. There must be room. */
LUA_API int redlua_pushknown (lua_State *L, int index, const void *name);

/* Where the string at `index`, counted from the top, lies. */
LUA_API const void *redlua_nameat (lua_State *L, int index);

/* Pops a value that is not nil, which becomes the value of the pair at `place`
   in the hash part of the table at `index`. */
LUA_API void redlua_setpair (lua_State *L, int index, int place);

/* The same with a number or string that need not be on the stack. */
LUA_API void redlua_setpairnumber (lua_State *L, int index, int place,
                                   lua_Number n);
LUA_API void redlua_setpairstring (lua_State *L, int index, int place,
                                   const char *s, size_t l);

/* Pushes key and value of the pair at `place` in the hash part of the table at
   `index`. */
LUA_API void redlua_pushpair (lua_State *L, int index, int place);

/* The parts of a table, for reading as long as nothing changes it. */
typedef struct redlua_TableParts {
  const void *array;  /* `items' values, nil among them */
  const void *node;  /* `nodes' pairs, those with the value nil being none */
  const void *metatable;
  int items;
  int nodes;
} redlua_TableParts;

LUA_API void redlua_tableparts (const void *table, redlua_TableParts *parts);

/* The value of an item; nil if there is none. */
LUA_API const void *redlua_tableitem (const void *table, int position);


/* Sorts the first `n' items of the table at 1, if they are all numbers or all
   strings and the value at 2 is nil: it compares and swaps what `table.sort`
   would. 0 if nothing was done. */
LUA_API int redlua_sort (lua_State *L, int n);


/*
** Numbers
*/

/* The greatest integer that is not greater than `n'. */
static inline lua_Number redlua_floor (lua_Number n) {
  if (n > -4503599627370496.0 && n < 4503599627370496.0 && n != 0) {
    lua_Number whole = (lua_Number)(long long)n;
    return (whole > n) ? whole - 1 : whole;
  }
  return __builtin_floor(n);  /* a zero keeps its sign */
}

/* Writes a number as LUA_NUMBER_FMT does. */
LUA_API void redlua_number2str (char *s, lua_Number n);

/* Reads an integer of up to 15 digits; 0 if `s' is anything else. */
LUA_API int redlua_str2integer (const char *s, lua_Number *result);


/*
** Calls of the host's functions
*/

/* The light userdata that is the first upvalue of the running C function, and
   in `ud' what belongs to the VM's allocator. */
LUA_API void *redlua_native (lua_State *L, void **ud);

/* The number of arguments of the running function, and in `first' where they
   lie. They lie elsewhere when the stack has grown. */
LUA_API int redlua_frame (lua_State *L, const void **first);

/* Whether what the running C function returns is the result of the function
   that the host called: that one made the call, in the main thread, by a tail
   call. In a thread with hooks it never counts as such. */
LUA_API int redlua_isresult (lua_State *L);


/*
** Source
*/

/* Sets how many bytes of source a chunk may have, however it is loaded. */
LUA_API void redlua_setsourcelimit (lua_State *L, size_t limit);


/*
** Memory
*/

/* Has the collector see to it that what is garbage does not count against a
   limit of `room' more bytes than are in use. */
LUA_API void redlua_collectwithin (lua_State *L, size_t room);


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

/* Polls if the flag is set, without raising: for functions of the host that
   cannot be jumped over. Not 0 if the run must end, which it does when such a
   function raises anything once nothing of it is left. */
LUA_API int redlua_pollend (lua_State *L);

/* Is told of a function that ends while the interrupt flag is set; the result
   means nothing. It may use the stack of `L`, which is put back as it was. */
typedef int (*redlua_Sample) (lua_State *L);

/* Sets the sample function of the VM. */
LUA_API void redlua_setsample (lua_State *L, redlua_Sample sample);

/* Has the sample function told of functions that end in this thread and in
   those it makes from now on, or not any more. */
LUA_API void redlua_sampling (lua_State *L, int on);

/* Whether the poll that is on stands before a call: the innermost function has
   not begun. */
LUA_API int redlua_isentering (lua_State *L);

/* Makes the VM of a dead run usable again and forgets the value of
   `redlua_setdeath`. */
LUA_API void redlua_revive (lua_State *L);

#endif
