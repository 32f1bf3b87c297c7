//! The ports that one process of tests uses, so that several runs on one machine keep apart.
//!
//! The tests look for free ports themselves, but there is a moment between their look and the server's
//! start. A range is claimed by listening at its first port, which the system takes back however the
//! run ends.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// The ports of all ranges. The nodes of a cluster use ports 10,000 above theirs too; all of them are below
/// those from which the system serves whoever asks for any.
const FIRST: u16 = 11_000;
const RANGES: u16 = 10;
const LENGTH: u16 = 1_000;

/// The ports at the beginning of a range that are not for servers: that of the claim, and those below
/// the first that is given to the tests, where their processes talk to each other.
const RESERVED: u16 = 40;

/// A range of ports, claimed for as long as this lives.
#[derive(Debug)]
pub struct Ports {
    _claim: TcpListener,
    start: u16,
}

impl Ports {
    /// Claims a range that nobody has.
    ///
    /// # Errors
    /// All are taken.
    pub fn claim() -> Result<Self> {
        let starts = (0..RANGES).map(|range| FIRST + range * LENGTH);
        let last = FIRST + RANGES * LENGTH - 1;
        Self::first_free(starts)
            .with_context(|| format!("other runs have all ports from {FIRST} to {last}"))
    }

    fn first_free(starts: impl IntoIterator<Item = u16>) -> Option<Self> {
        starts.into_iter().find_map(|start| {
            let claim = TcpListener::bind((Ipv4Addr::LOCALHOST, start)).ok()?;
            Some(Self { _claim: claim, start })
        })
    }

    /// What tells the tests' helper which ports are its own.
    pub fn arguments(&self) -> [String; 4] {
        let (first, count) = (self.start + RESERVED, LENGTH - RESERVED);
        ["--baseport".to_owned(), first.to_string(), "--portcount".to_owned(), count.to_string()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_range_that_is_taken() {
        let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let start = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (taken, free) = (any(), any());
        let starts = [start(&taken), start(&free)];
        drop(free);
        let ports = Ports::first_free(starts).unwrap();
        assert_eq!(ports.start, starts[1]);
        assert!(Ports::first_free(starts).is_none());
    }

    #[test]
    fn servers_and_buses_of_clusters_do_not_meet() {
        let end = FIRST + RANGES * LENGTH;
        assert!(end <= FIRST + 10_000);
        // Where Linux begins to give ports to clients.
        assert!(end + 10_000 <= 32_768);
    }
}
