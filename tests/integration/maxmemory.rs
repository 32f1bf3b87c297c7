//! maxmemory
