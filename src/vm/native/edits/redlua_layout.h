/*
** How a table takes its size and the order of its keys. Included by ltable.c
** in the place of its own code, which a failed allocation leaves with a table
** that is half changed.
**
** Keys lie where they lie in stock Redis, since `pairs` shows it. Anyone who
** knows that order can choose keys that all collide; a table in which a chain
** grows longer than honest keys make it turns to the secret hash, for good.
*/

#define MAXCHAIN	64


static TValue *place (lua_State *L, Table *t, const TValue *key);


/* Whether a string or number more in the chain of `mp` is one too many. */
static int crowded (const Table *t, const TValue *key, const Node *mp) {
  int n = 0;
  if (t->seeded || !(ttisstring(key) || ttisnumber(key))) return 0;
  for (; mp != NULL; mp = gnext(mp)) n++;
  return n >= MAXCHAIN;
}


/* Puts a key that the table does not have yet; 0 if its chain is crowded. */
static int put (lua_State *L, Table *t, const TValue *key, const TValue *val) {
  int k = arrayindex(key);
  TValue *slot = (0 < k && k <= t->sizearray) ? &t->array[k - 1]
                                              : place(L, t, key);
  if (slot == NULL) return 0;
  setobjt2t(L, slot, val);
  return 1;
}


/* Fills the hash part, from empty, with the `n` nodes at `old` and what the
   array part up to `oldasize` has beyond its new end; 0 if it gets crowded. */
static int fill (lua_State *L, Table *t, int oldasize, Node *old, int n) {
  int i;
  int size = (t->node == dummynode) ? 0 : sizenode(t);
  for (i = 0; i < size; i++) {
    Node *node = gnode(t, i);
    gnext(node) = NULL;
    setnilvalue(gkey(node));
    setnilvalue(gval(node));
  }
  t->lastfree = gnode(t, size);
  for (i = t->sizearray; i < oldasize; i++) {
    TValue key;
    setnvalue(&key, cast_num(i + 1));
    if (!ttisnil(&t->array[i]) && !put(L, t, &key, &t->array[i])) return 0;
  }
  for (i = n - 1; i >= 0; i--) {
    Node *node = old + i;
    if (!ttisnil(gval(node)) && !put(L, t, key2tval(node), gval(node)))
      return 0;
  }
  return 1;
}


/* Everything that can fail comes before the first change. */
static void layout (lua_State *L, Table *t, int nasize, int nhsize,
                    int seeded) {
  int i;
  int oldasize = t->sizearray;
  int oldhsize = sizenode(t);
  Node *old = t->node;
  Node *node = cast(Node *, dummynode);
  int lsize = (nhsize > 0) ? ceillog2(nhsize) : 0;
  if (lsize > MAXBITS)
    luaG_runerror(L, "table overflow");
  if (nasize > oldasize)
    luaM_reallocvector(L, t->array, oldasize, nasize, TValue);
  if (nhsize > 0) {
    node = cast(Node *, redluaM_try(L, twoto(lsize) * sizeof(Node)));
    if (node == NULL) {
      if (nasize > oldasize)
        luaM_reallocvector(L, t->array, nasize, oldasize, TValue);
      luaD_throw(L, LUA_ERRMEM);
    }
  }
  for (i = oldasize; i < nasize; i++)
    setnilvalue(&t->array[i]);
  t->sizearray = nasize;
  t->node = node;
  t->lsizenode = cast_byte(lsize);
  t->seeded = cast_byte(seeded);
  if (!fill(L, t, oldasize, old, oldhsize)) {
    t->seeded = 1;
    fill(L, t, oldasize, old, oldhsize);
  }
  if (nasize < oldasize)
    luaM_reallocvector(L, t->array, oldasize, nasize, TValue);
  if (old != dummynode)
    luaM_freearray(L, old, oldhsize, Node);
}


static void resize (lua_State *L, Table *t, int nasize, int nhsize) {
  layout(L, t, nasize, nhsize, t->seeded);
}


static TValue *newkey (lua_State *L, Table *t, const TValue *key) {
  TValue *slot = place(L, t, key);
  if (slot == NULL) {
    layout(L, t, t->sizearray, sizenode(t), 1);
    slot = luaH_set(L, t, key);
  }
  return slot;
}
