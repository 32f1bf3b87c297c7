/* Hashes that nobody outside the process can predict. */

#define redlua_hash_c
#define LUA_CORE

#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

#include "lua.h"

#include "lobject.h"
#include "lstate.h"


/* One secret for all VMs of the process: a table does not know its VM. */
static uint64_t secret[2];


/* Runs when the library is loaded, before any VM exists. */
__attribute__((constructor)) static void choose_secret (void) {
  if (getentropy(secret, sizeof(secret)) != 0) {
    secret[0] = (uint64_t)(uintptr_t)&secret * UINT64_C(0x9e3779b97f4a7c15);
    secret[1] = (uint64_t)time(NULL) ^ ((uint64_t)clock() << 32);
  }
}


/* Both halves of the product, folded. */
static uint64_t mix (uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
  uint64_t ah = a >> 32, al = (uint32_t)a, bh = b >> 32, bl = (uint32_t)b;
  uint64_t low = al * bl, cross = ah * bl + (low >> 32);
  uint64_t other = al * bh + (uint32_t)cross;
  uint64_t high = ah * bh + (cross >> 32) + (other >> 32);
  return ((other << 32) | (uint32_t)low) ^ high;
#endif
}


static uint64_t word (const char *p) {
  uint64_t w;
  memcpy(&w, p, sizeof(w));
  return w;
}


static uint64_t half (const char *p) {
  uint32_t w;
  memcpy(&w, p, sizeof(w));
  return w;
}


static unsigned int finish (uint64_t h) {
  return (unsigned int)(h ^ (h >> 32));
}


/* Every factor holds a part of the secret, so that no choice of bytes makes
   one zero and with it the product. */
unsigned int redluaS_hash (const char *str, size_t l) {
  const char *end = str + l;
  uint64_t h = secret[0] ^ l;
  uint64_t a = 0, b = 0;
  if (l >= 8) {
    for (; end - str > 16; str += 16)
      h = mix(word(str) ^ secret[1], word(str + 8) ^ h);
    /* the rest is 1 to 16 bytes, read together with what precedes it */
    b = word(end - 8);
    a = (end - str > 8) ? word(str) : b;
  }
  else if (l >= 4) {
    a = half(str);
    b = half(end - 4);
  }
  else if (l > 0) {
    a = (uint64_t)(unsigned char)str[0] << 8 | (unsigned char)str[l >> 1];
    b = (unsigned char)end[-1];
  }
  return finish(mix(a ^ secret[1], b ^ h));
}


unsigned int redluaH_hashnum (lua_Number n) {
  uint64_t bits = 0;
  memcpy(&bits, &n, sizeof(n) < sizeof(bits) ? sizeof(n) : sizeof(bits));
  return finish(mix(bits ^ secret[0], secret[1] | 1));
}


/* The places in a table that is not seeded show in the order of `pairs`, so
   they come from the very hash that the server's own Lua has. It is slow: a
   string pays for it when it first becomes a key. */

static volatile int valkey_order;


LUA_API void redlua_setorder (int order) {
  valkey_order = order;
}


/* Redis mixes byte after byte, from the last to the first. */
static unsigned int redis_hash (const char *str, unsigned int l) {
  unsigned int h = l;
  size_t i;
  for (i = l; i > 0; i--)
    h ^= (h << 5) + (h >> 2) + (unsigned char)str[i - 1];
  return h;
}


static uint32_t rotate (uint32_t x, int bits) {
  return (x << bits) | (x >> (32 - bits));
}


/* Valkey has MurmurHash3, seeded with the length. */
static unsigned int valkey_hash (const char *str, unsigned int l) {
  uint32_t h = l, k = 0;
  unsigned int i;
  for (i = 0; i < l; i++) {
    k |= (uint32_t)(unsigned char)str[i] << 8 * (i % 4);
    if (i % 4 == 3 || i == l - 1) {
      h ^= rotate(k * 0xcc9e2d51, 15) * 0x1b873593;
      if (i % 4 == 3) h = rotate(h, 13) * 5 + 0xe6546b64;
      k = 0;
    }
  }
  h ^= l;
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  h = (h ^ (h >> 13)) * 0xc2b2ae35;
  return h ^ (h >> 16);
}


unsigned int redluaH_hashstr (const Table *t, TString *str) {
  if (t->seeded)
    return str->tsv.seeded;
  if (!str->tsv.keyed) {
    str->tsv.hash = valkey_order ? valkey_hash(getstr(str), str->tsv.len)
                                 : redis_hash(getstr(str), str->tsv.len);
    str->tsv.keyed = 1;
  }
  return str->tsv.hash;
}
