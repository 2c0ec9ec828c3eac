//! The most frequent words of any files and folders: a parallel source over many buffers, fused operators, a keyed count.
//!
//! ```text
//! cargo run --release --example wordcount -- --top 10 --report ~/mail /usr/share/doc
//! ```
//!
//! Two graphs run one after the other on one pool: the first reads the files while their folders are still being walked,
//! the second counts the words of all of them, cut by size, so that tens of thousands of small files and one huge file
//! both keep every worker busy. With `--sequential` plain iterators do the same over the same buffers.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, iter};

use clap::Parser;
use memmap2::Mmap;
use millstream::{Graph, Pool, Report, Table};
use walkdir::WalkDir;

/// A file of this size or larger is mapped, a smaller one is read.
const MAPPED: u64 = 1 << 20;
/// So much of a file in a folder is looked at to tell whether it is text.
const PROBED: usize = 8 * 1024;

/// Words with their counts; the words lie in the texts.
type Counts<'t> = Table<&'t [u8], u64>;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&format!("error: {message}"));
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let engine = Engine::new(args)?;
    let places = places(&args.paths)?;

    let start = Instant::now();
    let (loaded, read_report) = engine.read(&places)?;
    let read_time = start.elapsed();
    let input = Input::new(&places, loaded)?;

    let start = Instant::now();
    let (counts, count_report) = engine.count(&input.buffers())?;
    let count_time = start.elapsed();

    print_words(&most_frequent(&counts, args.top))?;
    if args.report {
        read_report.iter().for_each(|report| say(&format!("\nreading\n{report}")));
        count_report.iter().for_each(|report| say(&format!("\ncounting\n{report}")));
    }
    say(&summary(&input, &counts, [read_time, count_time], &engine));
    Ok(())
}

// ---- the command line ----------------------------------------------------------------------------------------------

/// Shows the most frequent words of files and folders
///
/// The most frequent word comes first; words of equal frequency are in the order of their bytes. A
/// word is a run of bytes between ASCII white space. The words go to standard output, each after its
/// count. Warnings, reports and a closing line with sizes and times go to standard error.
#[derive(Parser)]
#[command(name = "wordcount", verbatim_doc_comment, after_long_help = NOTES)]
struct Args {
    /// Files, and folders of which every file is counted
    ///
    /// Without any: the Rust sources that cargo keeps on this machine (*.rs in `registry/src` in
    /// cargo's home), or, where there are none, those of this crate.
    #[arg(value_name = "PATH", verbatim_doc_comment)]
    paths: Vec<PathBuf>,

    /// How many words to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// How many workers the pool has [default: one for every core that this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "sequential")]
    workers: Option<u16>,

    /// Use plain iterators on one thread and no pool; the answer is the same
    #[arg(long)]
    sequential: bool,

    /// Also show what the operators and workers did, and where the time went
    #[arg(long, conflicts_with = "sequential")]
    report: bool,
}

/// What `--help` says at its end.
const NOTES: &str = "\
Which files:
  In a folder, every regular file at any depth; symbolic links in it are not followed. A file with
  a zero byte among its first 8 KiB is taken for binary and skipped, one that cannot be read is
  skipped with a warning; the closing line counts both. A file that is named itself is counted
  whatever it holds, and has to be readable.

Large files:
  Files are cut at line ends, so one without any is the work of one worker. Files of 1 MiB and more
  are mapped into memory. Do not change such a file while it is counted: a change makes the counts
  wrong, and if the file becomes shorter the system ends this program with a bus error (SIGBUS).

Exit status:
  0 if all that is named was counted; 2 if not: a named file cannot be read, a named folder has no
  text, an option makes no sense, the words cannot be written.";

// ---- what to count -------------------------------------------------------------------------------------------------

/// A file or folder to count.
struct Place {
    path: PathBuf,
    is_folder: bool,
    /// Counts only files with this extension.
    extension: Option<&'static str>,
}

/// What the command line names; without names, the Rust sources of this machine.
fn places(paths: &[PathBuf]) -> Result<Vec<Place>, String> {
    if paths.is_empty() {
        let path = sources();
        say(&format!("counting the Rust sources in '{}'", path.display()));
        return Ok(vec![Place { path, is_folder: true, extension: Some("rs") }]);
    }
    let place = |path: &PathBuf| {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        Ok(Place { path: path.clone(), is_folder: metadata.is_dir(), extension: None })
    };
    paths.iter().map(place).collect()
}

/// The sources that cargo has unpacked, or those of this crate.
fn sources() -> PathBuf {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let unpacked = home.map(|home| home.join("registry").join("src"));
    let has_entries = |folder: &PathBuf| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    unpacked.filter(has_entries).unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

impl Place {
    /// The files here, or why a file or folder cannot be found out about. Walks while it is pulled.
    fn files(&self) -> Box<dyn Iterator<Item = Result<PathBuf, String>> + Send + '_> {
        if !self.is_folder {
            return Box::new(iter::once(Ok(self.path.clone())));
        }
        let entries = WalkDir::new(&self.path).min_depth(1).into_iter();
        Box::new(entries.filter_map(|entry| match entry {
            Ok(entry) if entry.file_type().is_file() && self.wants(entry.path()) => Some(Ok(entry.into_path())),
            Ok(_) => None,
            Err(error) => Some(Err(unreadable(error.path().unwrap_or(&self.path), &error))),
        }))
    }

    fn wants(&self, path: &Path) -> bool {
        self.extension.is_none_or(|extension| path.extension().is_some_and(|found| found == extension))
    }
}

// ---- reading -------------------------------------------------------------------------------------------------------

/// The bytes of a file.
enum Text {
    Read(Vec<u8>),
    Mapped(Mmap),
}

impl Deref for Text {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

/// What became of a file.
enum Outcome {
    Text(Text),
    Binary,
    /// Why.
    Unreadable(String),
}

/// A file that was tried, and by which place it was found.
struct Loaded {
    place: usize,
    outcome: Outcome,
}

/// Every file of every place, ready to be read.
fn files(places: &[Place]) -> impl Iterator<Item = (usize, Result<PathBuf, String>)> + Send {
    places.iter().enumerate().flat_map(|(index, place)| place.files().map(move |file| (index, file)))
}

/// Reads or maps a file.
fn load(places: &[Place], place: usize, file: Result<PathBuf, String>) -> Loaded {
    let text = file.and_then(|path| open(&path).map_err(|error| unreadable(&path, &error)));
    let outcome = match text {
        Ok(text) if places[place].is_folder && text[..text.len().min(PROBED)].contains(&0) => Outcome::Binary,
        Ok(text) => Outcome::Text(text),
        Err(message) => Outcome::Unreadable(message),
    };
    Loaded { place, outcome }
}

fn open(path: &Path) -> io::Result<Text> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() >= MAPPED {
        return Ok(Text::Mapped(map(&file)?));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Text::Read(bytes))
}

#[expect(unsafe_code, reason = "nobody can promise that no other process changes a file while it is mapped")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: this process only reads the mapping. That no other one changes the file is beyond its control: `--help`
    // asks for it. Bytes that change are counted as one or the other word; pages that are cut off end the process.
    unsafe { Mmap::map(file) }
}

fn unreadable(path: &Path, error: &dyn Error) -> String {
    // The error of a walk has the path in front of its cause.
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    format!("'{}' cannot be read: {cause}", path.display())
}

/// All texts, and how many files are not among them.
struct Input {
    texts: Vec<Text>,
    binary: usize,
    unreadable: usize,
}

impl Input {
    /// Warns of files in folders that cannot be read; all else that is missing is an error.
    fn new(places: &[Place], loaded: Vec<Loaded>) -> Result<Self, String> {
        let mut input = Self { texts: Vec::with_capacity(loaded.len()), binary: 0, unreadable: 0 };
        let mut is_blank: Vec<bool> = places.iter().map(|place| place.is_folder).collect();
        for Loaded { place, outcome } in loaded {
            match outcome {
                Outcome::Text(text) => {
                    is_blank[place] &= text.is_empty();
                    input.texts.push(text);
                }
                Outcome::Binary => input.binary += 1,
                Outcome::Unreadable(message) if places[place].is_folder => {
                    say(&format!("warning: {message}; skipped"));
                    input.unreadable += 1;
                }
                Outcome::Unreadable(message) => return Err(message),
            }
        }
        match iter::zip(places, is_blank).find(|(_, is_blank)| *is_blank) {
            Some((place, _)) => Err(format!(
                "the folder '{}' has no text: no file in it can be read and is neither empty nor binary",
                place.path.display()
            )),
            None => Ok(input),
        }
    }

    fn buffers(&self) -> Vec<&[u8]> {
        self.texts.iter().map(|text| &**text).collect()
    }
}

// ---- counting ------------------------------------------------------------------------------------------------------

/// Who does the work.
enum Engine {
    /// This thread, with plain iterators.
    Sequential,
    Parallel(Pool),
}

impl Engine {
    fn new(args: &Args) -> Result<Self, String> {
        if args.sequential {
            return Ok(Self::Sequential);
        }
        let builder = Pool::builder();
        let builder = if let Some(workers) = args.workers { builder.workers(workers.into()) } else { builder };
        builder.build().map(Self::Parallel).map_err(|error| in_full(&error))
    }

    /// Reads the files, in the order in which they are found.
    fn read(&self, places: &[Place]) -> Result<(Vec<Loaded>, Option<Report>), String> {
        let read = |(place, file)| load(places, place, file);
        let Self::Parallel(pool) = self else { return Ok((files(places).map(read).collect(), None)) };

        let g = Graph::new();
        let loaded = g.source(files(places)).named("find").map(read).named("read").collect().named("keep");
        let mut run = pool.run(g).map_err(|error| in_full(&error))?;
        Ok((run.take(loaded), Some(run.report())))
    }

    /// Counts the words.
    fn count<'t>(&self, texts: &[&'t [u8]]) -> Result<(Counts<'t>, Option<Report>), String> {
        let Self::Parallel(pool) = self else { return Ok((count_plainly(texts), None)) };

        let g = Graph::new();
        let counts = g
            .split_all(texts, b'\n')
            .named("lines")
            .flat_map(|line| line.split(u8::is_ascii_whitespace))
            .named("words")
            .filter(|word| !word.is_empty())
            .key_by(|word| *word)
            .count()
            .named("count");
        let mut run = pool.run(g).map_err(|error| in_full(&error))?;
        Ok((run.take(counts), Some(run.report())))
    }
}

/// Counts the words without a pool.
fn count_plainly<'t>(texts: &[&'t [u8]]) -> Counts<'t> {
    let mut counts = Table::new();
    let words = texts.iter().flat_map(|text| text.split(u8::is_ascii_whitespace)).filter(|word| !word.is_empty());
    words.for_each(|word| *counts.get_or_insert_with(word, || 0) += 1);
    counts
}

/// An error of the library with its causes.
fn in_full(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

// ---- showing -------------------------------------------------------------------------------------------------------

/// The `top` most frequent words, in the order in which they are shown.
fn most_frequent<'t>(counts: &Counts<'t>, top: usize) -> Vec<(&'t [u8], u64)> {
    let order = |(word, count): &(&[u8], u64), (other, more): &(&[u8], u64)| more.cmp(count).then(word.cmp(other));
    let mut words: Vec<_> = counts.iter().map(|(word, count)| (*word, *count)).collect();
    if top < words.len() {
        words.select_nth_unstable_by(top, order);
        words.truncate(top);
    }
    words.sort_unstable_by(order);
    words
}

/// Writes the words to standard output; whoever reads there may stop when it has enough.
fn print_words(words: &[(&[u8], u64)]) -> Result<(), String> {
    let width = words.first().map_or(0, |(_, count)| count.to_string().len());
    let mut out = BufWriter::new(io::stdout().lock());
    let written = words
        .iter()
        .try_for_each(|(word, count)| writeln!(out, "{count:>width$} {}", String::from_utf8_lossy(word)))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("the words cannot be written: {error}")),
        _ => Ok(()),
    }
}

/// The closing line.
fn summary(input: &Input, counts: &Counts<'_>, [read, count]: [Duration; 2], engine: &Engine) -> String {
    let megabytes = input.texts.iter().map(|text| text.len()).sum::<usize>() as f64 / 1e6;
    let words: u64 = counts.iter().map(|(_, count)| count).sum();
    let seconds = count.as_secs_f64();
    let mut line = format!(
        "{}, {megabytes:.1} MB, {words} words, {} distinct; read in {:.3} s, counted in {seconds:.3} s ({:.0} MB/s)",
        number(input.texts.len(), "file"),
        counts.len(),
        read.as_secs_f64(),
        megabytes / seconds.max(1e-9),
    );
    line += &match engine {
        Engine::Sequential => ", sequentially".to_owned(),
        Engine::Parallel(pool) => format!(", {}", number(pool.workers(), "worker")),
    };
    for (count, what) in [(input.binary, "binary"), (input.unreadable, "unreadable")] {
        if count > 0 {
            line += &format!("; skipped {count} {what}");
        }
    }
    line
}

fn number(count: usize, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}

/// Writes a line to standard error; if nobody listens there, nothing is lost.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
