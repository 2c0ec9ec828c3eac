//! Tests of the pool's private parts.

mod elastic;
mod quiet;
mod spares;
mod spots;
