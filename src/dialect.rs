//! Which server the module answers as: versions word errors and print numbers differently.

/// The family of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Redis.
    Redis,
    /// Valkey, a fork of Redis 7.2.
    Valkey,
}

/// A group of servers whose stock engine behaves in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Every Redis.
    Redis,
    /// Redis before 7.2, whose texts and number formats are older.
    Redis70,
    /// Redis 8.0 and newer.
    Redis80,
    /// Every Valkey.
    Valkey,
    /// Valkey 9.1 and newer, whose stock engine is a module itself.
    Valkey91,
}

/// The server the module runs in, as far as its scripts can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The family of the server.
    pub flavour: Flavour,
    /// The server's own version, `0x00MMmmpp`.
    pub version: u32,
    /// The Redis version it claims to be compatible with, `0x00MMmmpp`.
    pub redis_version: u32,
}

/// Packs a version as servers do in `REDIS_VERSION_NUM`: one byte each.
pub const fn version(major: u8, minor: u8, patch: u8) -> u32 {
    ((major as u32) << 16) | ((minor as u32) << 8) | patch as u32
}

impl Dialect {
    /// A Redis server of the given version.
    pub const fn redis(major: u8, minor: u8, patch: u8) -> Self {
        let version = version(major, minor, patch);
        Self { flavour: Flavour::Redis, version, redis_version: version }
    }

    /// A Valkey server of the given version.
    pub const fn valkey(major: u8, minor: u8, patch: u8) -> Self {
        Self {
            flavour: Flavour::Valkey,
            version: version(major, minor, patch),
            redis_version: version(7, 2, 4),
        }
    }

    /// Whether the host is one of `hosts`.
    #[inline]
    pub const fn is(self, hosts: Hosts) -> bool {
        let valkey = matches!(self.flavour, Flavour::Valkey);
        match hosts {
            Hosts::Redis => !valkey,
            Hosts::Redis70 => !valkey && self.version < version(7, 2, 0),
            Hosts::Redis80 => !valkey && self.version >= version(8, 0, 0),
            Hosts::Valkey => valkey,
            Hosts::Valkey91 => valkey && self.version >= version(9, 1, 0),
        }
    }

    /// Whether the stock engine has the `os` table (with `clock` only).
    pub const fn has_os(self) -> bool {
        matches!(self.flavour, Flavour::Valkey) || self.version >= version(7, 4, 0)
    }

    /// Whether a script that uses a key that is not here is told if its slot has no node, or moves.
    pub const fn tells_why_keys_are_not_here(self) -> bool {
        matches!(self.flavour, Flavour::Valkey) || self.version >= version(7, 4, 0)
    }

    /// Whether the server takes the slot of a key from the command that a client sent, whatever keys the
    /// commands have that a module calls meanwhile.
    ///
    /// Stock: `db.c` `getKeySlot`.
    pub const fn trusts_client_slot(self) -> bool {
        matches!(self.flavour, Flavour::Valkey) || self.version >= version(7, 2, 0)
    }

    /// Whether a module's call with keys of several slots makes the server refuse the calls that come after it: it
    /// keeps what it found of those keys with the client that it uses for all of them.
    ///
    /// Stock: `module.c` `moduleReleaseTempClient`.
    pub const fn keeps_crossed_slots(self) -> bool {
        matches!(self.flavour, Flavour::Valkey) && self.version >= version(9, 0, 0)
    }

    /// The version of the server's own RDB format.
    ///
    /// Stock: `rdb.h` `RDB_VERSION`.
    pub const fn rdb_version(self) -> u16 {
        match self.flavour {
            Flavour::Valkey if self.version >= version(9, 0, 0) => 80,
            Flavour::Redis if self.version >= version(7, 4, 0) => 12,
            Flavour::Redis if self.version < version(7, 2, 0) => 10,
            Flavour::Redis | Flavour::Valkey => 11,
        }
    }

    /// Whether the server reads a payload of this version of the RDB format.
    ///
    /// Valkey 9 leaves out those that Redis took after the two parted, unless `rdb-version-check` is relaxed.
    ///
    /// Stock: `cluster.c` `verifyDumpPayload`.
    pub const fn reads_rdb(self, version: u16) -> bool {
        match self.rdb_version() {
            newest @ 80.. => matches!(version, 1..=11 | 80..) && version <= newest,
            newest => version <= newest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_up_to_the_servers_own_format() {
        let read = |dialect: Dialect| -> Vec<u16> {
            (0..100).filter(|version| dialect.reads_rdb(*version)).collect()
        };
        let up_to = |newest: u16| -> Vec<u16> { (0..=newest).collect() };
        assert_eq!(read(Dialect::redis(7, 0, 15)), up_to(10));
        assert_eq!(read(Dialect::redis(8, 0, 2)), up_to(12));
        assert_eq!(read(Dialect::valkey(8, 1, 1)), up_to(11));
        let valkey = [(1..=11).collect(), vec![80]].concat();
        assert_eq!(read(Dialect::valkey(9, 1, 2)), valkey);
    }
}
