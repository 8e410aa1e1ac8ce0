//! Flow and tables to verdict.
