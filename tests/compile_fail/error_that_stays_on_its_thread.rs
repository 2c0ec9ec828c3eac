//~ E0277 have a `Box<dyn Error + Send + Sync>`
//! The error of an operator goes to the thread that waits for the run; the message says what will do.
use std::error::Error;

use millstream::Graph;

fn parse(text: &str) -> Result<u32, Box<dyn Error>> {
    Ok(text.parse()?)
}

fn main() {
    let g = Graph::new();
    g.source(["1", "2"]).try_map(parse).count();
}
