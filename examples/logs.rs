//! Counts lines of a log by a key, over windows of the time that the lines tell, while the log grows.
//!
//! ```text
//! cargo run --release --example logs                                # a built-in sample
//! some-program | cargo run --release --example logs -- -
//! cargo run --release --example logs -- --follow access.log --window 10
//! ```
//!
//! A line begins with its time in seconds, and its second word is the key. One thread reads, another sends lines into the
//! graph; all workers parse; an operator of this program has the windows, one line at a time in stream order. Ctrl-C
//! drops the sender: what was sent still goes through, then the open windows and the report are printed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Parser;
use millstream::{Graph, Operator, Pool};

/// How long to wait for more of a file that has ended.
const PATIENCE: Duration = Duration::from_millis(50);

/// So many lines may have been read and not sent.
const AHEAD: usize = 1024;

/// What is counted without arguments: a line is late, another one has no time.
const SAMPLE: &str = "\
100 GET /\n103 GET /style\n104 PUT /note\n109 GET /\n111 GET /\n112 GET /note\nno time\n\
119 PUT /note\n121 GET /\n108 PUT /late\n125 DELETE /note\n140 GET /\n";

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Counts lines by their second word, over windows of the time in their first one
///
/// A window is printed when a line of the same key has a later one. A line that comes after its
/// window was printed is late; lines that are late or have no time are counted at the end.
#[derive(Parser)]
#[command(name = "logs", verbatim_doc_comment)]
struct Args {
    /// A file, or - for standard input; without it, a built-in sample
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Go on when the file has ended, as it may grow; Ctrl-C ends that
    #[arg(long, requires = "file")]
    follow: bool,

    /// How many seconds a window has
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
}

fn run(args: &Args) -> Result<(), String> {
    let is_stdin = args.file.as_ref().is_some_and(|file| file.as_os_str() == "-");
    let input: Box<dyn Read + Send> = match &args.file {
        None => Box::new(SAMPLE.as_bytes()),
        Some(_) if is_stdin => Box::new(io::stdin()),
        Some(file) => {
            Box::new(File::open(file).map_err(|error| format!("'{}' cannot be read: {error}", file.display()))?)
        }
    };
    let follow = args.follow && !is_stdin;
    let pool = Pool::new().map_err(|error| error.to_string())?;

    let g = Graph::new();
    let (sender, lines) = g.input::<String>();
    lines
        .named("lines")
        .map(|line| parse(&line))
        .named("parse")
        .apply(Windows::new(args.window))
        .named("windows")
        .try_for_each_ordered(|line| writeln!(io::stdout(), "{line}"))
        .named("print");
    let running = g.plan(&pool).map_err(|error| error.to_string())?.start();

    let (stop, stopped) = mpsc::channel();
    let interrupted = stop.clone();
    ctrlc::set_handler(move || _ = interrupted.send(Ok(()))).map_err(|error| error.to_string())?;
    // A read of standard input cannot be interrupted: so the thread that reads is not waited for.
    let (hand, handed) = mpsc::sync_channel(AHEAD);
    thread::spawn(move || stop.send(read(BufReader::new(input), follow, |line| hand.send(line).is_ok())));
    let result = loop {
        match handed.recv_timeout(PATIENCE) {
            Ok(line) => {
                if sender.send(line).is_err() {
                    break Ok(()); // the run has failed, and says why
                }
            }
            Err(RecvTimeoutError::Timeout) if running.is_over() => break Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break stopped.recv().expect("the reader says how it has ended"),
        }
        if let Ok(result) = stopped.try_recv() {
            handed.try_iter().take(AHEAD).for_each(|line| _ = sender.send(line));
            break result;
        }
    };

    drop(sender);
    match running.join() {
        Ok(plan) => _ = write!(io::stderr(), "{}", plan.report()),
        Err(error) if is_broken_pipe(&error) => {}
        Err(error) => return Err(error.to_string()),
    }
    result.map_err(|error| format!("the log cannot be read on: {error}"))
}

/// Whoever read the output has enough.
fn is_broken_pipe(error: &millstream::RunError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Gives out whole lines until nobody takes one, or the input ends and is not to be followed.
fn read(mut input: impl BufRead, follow: bool, mut give: impl FnMut(String) -> bool) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        input.read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") || !follow && !line.is_empty() {
            let whole = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            if !give(whole) {
                return Ok(());
            }
        } else if follow {
            thread::sleep(PATIENCE); // and the rest of the line is added to it
        } else {
            return Ok(());
        }
    }
}

/// The time and key of a line.
fn parse(line: &str) -> Option<(u64, String)> {
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
}

/// Counts by key over windows of time that follow each other: window `n` has the times from `n * length` on.
struct Windows {
    length: u64,
    /// The open window of each key, and how many lines it has.
    open: BTreeMap<String, (u64, u64)>,
    late: u64,
    without_time: u64,
}

impl Windows {
    fn new(length: u64) -> Self {
        Self { length, open: BTreeMap::new(), late: 0, without_time: 0 }
    }

    fn show(&self, key: &str, (window, count): (u64, u64)) -> String {
        format!("{} {key} {count}", window * self.length)
    }
}

impl Operator for Windows {
    type In = Option<(u64, String)>;
    type Out = String;

    fn on_item(&mut self, line: Self::In, out: &mut dyn FnMut(String)) {
        let Some((time, key)) = line else {
            self.without_time += 1;
            return;
        };
        let window = time / self.length;
        match self.open.get_mut(&key) {
            None => _ = self.open.insert(key, (window, 1)),
            Some((open, _)) if window < *open => self.late += 1,
            Some((open, count)) if window == *open => *count += 1,
            Some(open) => {
                let full = std::mem::replace(open, (window, 1));
                out(self.show(&key, full));
            }
        }
    }

    fn on_end(&mut self, out: &mut dyn FnMut(String)) {
        self.open.iter().for_each(|(key, open)| out(self.show(key, *open)));
        out(format!("{} late, {} without a time", self.late, self.without_time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the windows give for some lines.
    fn windows(workers: usize, text: &str) -> Vec<String> {
        let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("threads");
        let g = Graph::new();
        let shown = g.source(text.lines()).map(parse).apply(Windows::new(10)).collect();
        pool.run(g).expect("nothing fails").take(shown)
    }

    #[test]
    fn a_window_ends_when_its_key_has_a_later_one() {
        let text = "7 a\n9 b\n9 a\n10 a\n8 a\n31 a\n\n35 a";
        for workers in [1, 3] {
            assert_eq!(windows(workers, text), ["0 a 2", "10 a 1", "30 a 2", "0 b 1", "1 late, 1 without a time"]);
        }
    }

    #[test]
    fn a_last_line_without_its_end_waits_only_if_the_file_may_grow() {
        let mut lines = Vec::new();
        read(&b"1 a\r\n2 b"[..], false, |line| {
            lines.push(line);
            true
        })
        .expect("memory");
        assert_eq!(lines, ["1 a", "2 b"]);
    }
}
