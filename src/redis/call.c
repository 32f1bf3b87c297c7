/* Calls a function of the server that takes any number of arguments, which
   only C can make with a number known at run time.

   The arguments are copied to an array of one of a few sizes, whose every
   pair is passed on. The function reads as many pairs as its format names, so
   those beyond are never looked at. */

#include <stddef.h>
#include <string.h>

/* A byte string. */
struct argument {
  const char *start;
  size_t len;
};

typedef void *(*call_function) (void *ctx, const char *name, const char *format, ...);

#define PASS(i)		, a[i].start, a[i].len
#define PASS_4(i)	PASS(i) PASS((i)+1) PASS((i)+2) PASS((i)+3)
#define PASS_16(i)	PASS_4(i) PASS_4((i)+4) PASS_4((i)+8) PASS_4((i)+12)
#define PASS_64(i)	PASS_16(i) PASS_16((i)+16) PASS_16((i)+32) PASS_16((i)+48)
#define PASS_256(i)	PASS_64(i) PASS_64((i)+64) PASS_64((i)+128) PASS_64((i)+192)
#define PASS_1024(i)	PASS_256(i) PASS_256((i)+256) PASS_256((i)+512) PASS_256((i)+768)
#define PASS_4096(i)	PASS_1024(i) PASS_1024((i)+1024) PASS_1024((i)+2048) PASS_1024((i)+3072)
#define PASS_8192(i)	PASS_4096(i) PASS_4096((i)+4096)

#define CALL_OF(size) \
  static void *call_##size (call_function call, void *ctx, const char *name, \
                            const char *format, \
                            const struct argument *arguments, size_t count) { \
    struct argument a[size]; \
    memcpy(a, arguments, count * sizeof(*a)); \
    memset(a + count, 0, (size - count) * sizeof(*a)); \
    return call(ctx, name, format PASS_##size(0)); \
  }

CALL_OF(4)
CALL_OF(16)
CALL_OF(64)
CALL_OF(256)
CALL_OF(1024)
CALL_OF(8192)

/* Calls `call` with `count` arguments; NULL if there are more than any Lua
   stack holds. */
void *redlua_call (call_function call, void *ctx, const char *name,
                   const char *format, const struct argument *arguments,
                   size_t count) {
  if (count <= 4) return call_4(call, ctx, name, format, arguments, count);
  if (count <= 16) return call_16(call, ctx, name, format, arguments, count);
  if (count <= 64) return call_64(call, ctx, name, format, arguments, count);
  if (count <= 256) return call_256(call, ctx, name, format, arguments, count);
  if (count <= 1024) return call_1024(call, ctx, name, format, arguments, count);
  if (count <= 8192) return call_8192(call, ctx, name, format, arguments, count);
  return NULL;
}
