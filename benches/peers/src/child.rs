//! Runs in a process of their own: this program, started with a hidden option.

use std::process::Command;

use clap::ValueEnum;

use crate::cli::Options;
use crate::peers::Peer;

/// Starts a child for a peer with this option, and reads the numbers that it prints.
pub fn says(option: &str, peer: Peer, threads: usize, options: &Options, quick: bool) -> Vec<f64> {
    let own = std::env::current_exe().expect("the path of this program");
    let mut command = Command::new(own);
    command.args([option, value_of(peer).get_name(), "--threads", &threads.to_string()]);
    command.args(["--pinning", options.pinning.to_possible_value().expect("none is hidden").get_name()]);
    if quick || options.quick {
        command.arg("--quick");
    }
    let output = command.output().expect("this program can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("numbers");
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

fn value_of(peer: Peer) -> clap::builder::PossibleValue {
    peer.to_possible_value().expect("none is hidden")
}
