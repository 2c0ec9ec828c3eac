//! The workloads that libraries for parallel work are compared by, with millstream and with others, in one run.
//!
//! `README.md` says what is measured, and what each peer does.

mod byhand;
mod child;
mod cli;
mod graphs;
mod machine;
mod measure;
mod peers;
mod shape;
mod table;
mod tasks;
#[cfg(feature = "tbb")]
mod tbb;
mod workloads;

use clap::Parser;

fn main() {
    let options = cli::Options::parse();
    if let Some(peer) = options.idle_child {
        return workloads::w6::child(peer, &options);
    }
    if let Some(peer) = options.memory_child {
        return workloads::w4::child(peer, &options);
    }
    let chosen: Vec<_> = workloads::all().into_iter().filter(|workload| options.wants(workload.name)).collect();
    if chosen.is_empty() {
        eprintln!("no such workload; there are: {}", workloads::names().join(" "));
        std::process::exit(2);
    }
    eprintln!("{}", machine::describe(&options));
    if options.csv {
        println!("{}", table::CSV_HEADER);
    }
    for workload in chosen {
        let busy = machine::Busy::now();
        let rows = measure::take_turns(&workload, (workload.lineup)(&options), options.runs);
        eprintln!("{}: {}", workload.name, busy.since());
        let text = if options.csv { table::csv(&rows) } else { table::readable(&workload, &rows) };
        print!("{text}");
    }
}
