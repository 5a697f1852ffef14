//! A local stand-in for one Freshsales account.
