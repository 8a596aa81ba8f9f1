//! Stories told to the real daemon over loopback, and tidy tests that hold the house.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has found something"
)]

mod cli;
mod config;
mod config_reference;
mod contract;
mod corpus;
mod delivery;
mod demo;
mod disposition;
mod documents;
mod dovecot;
mod faults;
mod fuzz;
mod intake;
mod looks;
mod mail;
mod names;
mod operators;
mod parser;
mod queue;
mod sandbox;
mod service;
mod support;
mod survival;
mod tidy;
mod tnef;
mod units;
mod xss;
