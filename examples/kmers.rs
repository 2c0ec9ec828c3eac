//! Counts the k-mers of sequence files: a source that reads in pieces, parallel parsing with errors that name file and
//! line, and two ways to count: the library's keyed count, and shards of the program's own.
//!
//! ```text
//! cargo run --release --example kmers -- -k 21 --spectrum genome.fa.gz reads_1.fastq reads_2.fastq
//! ```
//!
//! A k-mer is a stretch of `k` bases. It is counted together with its reverse complement, because a sequence may come
//! from either strand: both stand for the smaller of the two, the canonical one. Two bits make a base.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;
use std::{iter, mem, slice};

use clap::Parser;
use flate2::read::MultiGzDecoder;
use memchr::{memchr_iter, memrchr, memrchr_iter};
use millstream::{Graph, Pool};

/// So much of a file is the work of one worker at a time.
const PIECE: usize = 256 * 1024;

/// The genome of the phage lambda (NCBI `NC_001416.1`), 48 502 bases, as it is in Debian's package bowtie2-examples.
const LAMBDA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/lambda.fa.gz");

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&format!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let builder = Pool::builder();
    let builder = if let Some(workers) = args.workers { builder.workers(workers.into()) } else { builder };
    let pool = builder.build().map_err(|error| error.to_string())?;
    let lambda = [PathBuf::from(LAMBDA)];
    let files = if args.files.is_empty() { &lambda } else { &*args.files };

    let start = Instant::now();
    let pieces = Pieces::new(files, args.k.into(), PIECE);
    let summary = if args.table { count_by_table(&pool, pieces, args)? } else { count_by_shards(&pool, pieces, args)? };
    let seconds = start.elapsed().as_secs_f64();

    print(&summary, args)?;
    let rate = summary.total() as f64 / seconds / 1e6;
    say(&format!("counted in {seconds:.3} s ({rate:.1} million k-mers a second), {} workers", pool.workers()));
    Ok(())
}

// ---- the command line ----------------------------------------------------------------------------------------------

/// Counts the k-mers of FASTA and FASTQ files, plain or compressed by gzip
///
/// A k-mer and its reverse complement count as one. A letter other than A, C, G and T ends a run of
/// bases; lower case counts as upper case. The numbers of distinct and of all k-mers go to standard
/// output, and what else is asked for; the time goes to standard error.
///
/// The exit status is 1 if a file cannot be read or is broken; the message names its line.
#[derive(Parser)]
#[command(name = "kmers", verbatim_doc_comment)]
struct Args {
    /// Sequence files, of either format; without any, the genome of the phage lambda
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How many bases a k-mer has
    #[arg(short, value_name = "N", default_value_t = 21, value_parser = clap::value_parser!(u8).range(1..=31))]
    k: u8,

    /// Show how many k-mers occur once, twice, and so on
    #[arg(long)]
    spectrum: bool,

    /// Show so many of the most frequent k-mers, with their counts
    #[arg(long, value_name = "N", default_value_t = 0)]
    top: usize,

    /// How many workers the pool has [default: one for every core that this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,

    /// Count with the library's keyed count, which is shorter to write, and slower; the answer is the same
    #[arg(long)]
    table: bool,
}

// ---- reading -------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy)]
enum Format {
    Fasta,
    /// Four lines a record.
    Fastq,
}

/// What the first byte of a piece of a FASTA file belongs to. A line longer than a piece goes on in the next one.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    NewLine,
    Header,
    Sequence,
}

/// A part of a file: whole records of a FASTQ file, whole lines of a FASTA file if they are not too long.
struct Piece<'f> {
    path: &'f Path,
    format: Format,
    /// The number of its first line, from 1.
    line: u64,
    within: Within,
    /// The bases before it, as many as a k-mer needs that begins before the piece and ends in it.
    before: Vec<u8>,
    bytes: Vec<u8>,
    /// Whether the file ends with it.
    is_last: bool,
}

/// The pieces of some files, one file after the other. One worker at a time pulls a piece.
struct Pieces<'f> {
    paths: slice::Iter<'f, PathBuf>,
    open: Option<Reader<'f>>,
    k: usize,
    size: usize,
}

impl<'f> Pieces<'f> {
    fn new(paths: &'f [PathBuf], k: usize, size: usize) -> Self {
        Self { paths: paths.iter(), open: None, k, size }
    }
}

impl<'f> Iterator for Pieces<'f> {
    type Item = Result<Piece<'f>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = match self.open.take() {
            Some(reader) => reader,
            None => match Reader::open(self.paths.next()?, self.size) {
                Ok(reader) => reader,
                Err(message) => return Some(Err(message)),
            },
        };
        let piece = reader.piece(self.k, self.size);
        if piece.as_ref().is_ok_and(|piece| !piece.is_last) {
            self.open = Some(reader);
        }
        Some(piece)
    }
}

/// A file that is being read.
struct Reader<'f> {
    path: &'f Path,
    input: Box<dyn Read + Send>,
    format: Format,
    /// What was read and is in no piece yet.
    held: Vec<u8>,
    ended: bool,
    /// Of the next piece.
    line: u64,
    within: Within,
    before: Vec<u8>,
}

impl<'f> Reader<'f> {
    /// Opens a file, and looks what it is.
    fn open(path: &'f Path, size: usize) -> Result<Self, String> {
        let unreadable = |error| format!("'{}' cannot be read: {error}", path.display());
        let file = File::open(path).map_err(unreadable)?;
        let mut magic = Vec::new();
        (&file).take(2).read_to_end(&mut magic).map_err(unreadable)?;
        let is_compressed = magic == [0x1f, 0x8b];
        let whole = io::Cursor::new(magic).chain(file);
        let input: Box<dyn Read + Send> =
            if is_compressed { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        let (format, within) = (Format::Fasta, Within::NewLine);
        let (held, before) = (Vec::new(), Vec::new());
        let mut reader = Self { path, input, format, held, ended: false, line: 1, within, before };
        while reader.held.is_empty() && !reader.ended {
            reader.fill(size)?;
            let blank = reader.held.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            reader.line += line_ends(&reader.held[..blank]);
            reader.held.drain(..blank);
        }
        reader.format = match reader.held.first() {
            Some(b'>') => Format::Fasta,
            Some(b'@') => Format::Fastq,
            Some(_) => {
                return Err(place(path, reader.line, "a sequence before a header, which begins with '>' or '@'"));
            }
            None => return Err(place(path, reader.line, "the file is empty")),
        };
        Ok(reader)
    }

    /// Reads until so much is held, or the file ends.
    fn fill(&mut self, size: usize) -> Result<(), String> {
        let wanted = size.saturating_sub(self.held.len());
        let got = self.input.by_ref().take(wanted as u64).read_to_end(&mut self.held);
        let got = got.map_err(|error| {
            let line = self.line + line_ends(&self.held);
            place(self.path, line, &format!("the file cannot be read on: {error}"))
        })?;
        self.ended = got < wanted;
        Ok(())
    }

    fn piece(&mut self, k: usize, size: usize) -> Result<Piece<'f>, String> {
        let mut wanted = size;
        let end = loop {
            self.fill(wanted)?;
            if self.ended {
                break self.held.len();
            }
            match self.cut() {
                0 => wanted = 2 * self.held.len(), // a record longer than a piece
                end => break end,
            }
        };
        let rest = self.held.split_off(end);
        let bytes = mem::replace(&mut self.held, rest);
        let (before, within) = match self.format {
            Format::Fasta => carry(&self.before, self.within, &bytes, k - 1),
            Format::Fastq => (Vec::new(), Within::NewLine),
        };
        let line = self.line;
        self.line += line_ends(&bytes);
        Ok(Piece {
            path: self.path,
            format: self.format,
            line,
            within: mem::replace(&mut self.within, within),
            before: mem::replace(&mut self.before, before),
            bytes,
            is_last: self.ended,
        })
    }

    /// How much of what is held makes a piece.
    fn cut(&self) -> usize {
        match self.format {
            Format::Fasta => memrchr(b'\n', &self.held).map_or(self.held.len(), |at| at + 1),
            Format::Fastq => {
                // Every fourth line end is one of a record. Blank lines, which the file may end in, stay with its end.
                let filled = self.held.trim_ascii_end().len();
                let past = memchr_iter(b'\n', &self.held[..filled]).count() % 4;
                memrchr_iter(b'\n', &self.held[..filled]).nth(past).map_or(0, |at| at + 1)
            }
        }
    }
}

/// The last bases up to the end of a piece of a FASTA file, at most `count`, and what comes next belongs to.
fn carry(before: &[u8], within: Within, bytes: &[u8], count: usize) -> (Vec<u8>, Within) {
    let (mut last, mut end, mut next) = (Vec::with_capacity(count), bytes.len(), Within::NewLine);
    while end > 0 && last.len() < count.max(1) {
        let start = memrchr(b'\n', &bytes[..end - 1]).map_or(0, |at| at + 1);
        let line = &bytes[start..end];
        let is_header = match within {
            Within::Header if start == 0 => true,
            Within::Sequence if start == 0 => false,
            _ => line[0] == b'>',
        };
        if end == bytes.len() && !line.ends_with(b"\n") {
            next = if is_header { Within::Header } else { Within::Sequence };
        }
        if is_header {
            break;
        }
        let bases = line.iter().rev().filter(|byte| !b"\r\n".contains(byte));
        last.extend(bases.take(count - last.len()));
        end = start;
        if count == 0 {
            break;
        }
    }
    if end == 0 {
        last.extend(before.iter().rev().take(count - last.len()));
    }
    last.reverse();
    (last, next)
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

fn place(path: &Path, line: u64, what: &str) -> String {
    format!("'{}', line {line}: {what}", path.display())
}

// ---- parsing -------------------------------------------------------------------------------------------------------

impl Piece<'_> {
    /// The bases of the piece. Where a sequence ends stands something that is no base.
    fn bases(self) -> Result<Vec<u8>, String> {
        match self.format {
            Format::Fasta => Ok(self.fasta()),
            Format::Fastq => self.fastq(),
        }
    }

    fn fasta(self) -> Vec<u8> {
        let mut bases = self.before;
        bases.reserve(self.bytes.len());
        let (mut start, mut within) = (0, self.within);
        while start < self.bytes.len() {
            let end = memchr::memchr(b'\n', &self.bytes[start..]).map_or(self.bytes.len(), |at| start + at + 1);
            let line = &self.bytes[start..end];
            let is_header = within == Within::Header || within == Within::NewLine && line[0] == b'>';
            bases.extend_from_slice(if is_header { b">" } else { line });
            (start, within) = (end, Within::NewLine);
        }
        bases
    }

    fn fastq(self) -> Result<Vec<u8>, String> {
        let mut bases = Vec::with_capacity(self.bytes.len() / 2);
        let text = if self.is_last { self.bytes.trim_ascii_end() } else { &self.bytes };
        let mut start = 0;
        let mut lines = (self.line..).map_while(|number| {
            let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            start += end + 1;
            Some((number, rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end])))
        });
        while let Some((number, header)) = lines.next() {
            let wrong = |number, what: &str| Err(place(self.path, number, what));
            if !header.starts_with(b"@") {
                return wrong(number, "a record begins with '@'");
            }
            let Some((_, sequence)) = lines.next() else { return wrong(number, "the last record has no sequence") };
            match lines.next() {
                Some((_, plus)) if plus.starts_with(b"+") => {}
                _ => return wrong(number + 2, "the third line of a record begins with '+'"),
            }
            let quality = lines.next().map_or(&b""[..], |(_, quality)| quality);
            if quality.len() != sequence.len() {
                let what = format!("{} letters of quality for {} bases", quality.len(), sequence.len());
                return wrong(number + 3, &what);
            }
            bases.extend_from_slice(sequence);
            bases.push(b'@');
        }
        Ok(bases)
    }
}

/// What a byte is: a base, from 0 to 3, or one of the others.
const CODES: [u8; 256] = {
    let mut codes = [BREAK; 256];
    let mut base = 0;
    while base < 4 {
        codes[b"ACGT"[base as usize] as usize] = base;
        codes[b"acgt"[base as usize] as usize] = base;
        base += 1;
    }
    codes[b'\n' as usize] = SKIP;
    codes[b'\r' as usize] = SKIP;
    codes
};
const BREAK: u8 = 4;
const SKIP: u8 = 5;

/// The canonical k-mers of some bases.
struct Kmers {
    bases: std::vec::IntoIter<u8>,
    k: u32,
    /// How many bases of the run there are so far.
    run: u32,
    forward: u64,
    /// The reverse complement.
    backward: u64,
}

impl Kmers {
    fn new(bases: Vec<u8>, k: u8) -> Self {
        Self { bases: bases.into_iter(), k: k.into(), run: 0, forward: 0, backward: 0 }
    }
}

impl Iterator for Kmers {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        loop {
            match CODES[usize::from(self.bases.next()?)] {
                SKIP => {}
                BREAK => self.run = 0,
                base => {
                    self.forward = (self.forward << 2 | u64::from(base)) & ((1 << (2 * self.k)) - 1);
                    self.backward = self.backward >> 2 | u64::from(3 - base) << (2 * (self.k - 1));
                    self.run += 1;
                    if self.run >= self.k {
                        return Some(self.forward.min(self.backward));
                    }
                }
            }
        }
    }
}

// ---- counting ------------------------------------------------------------------------------------------------------

/// What is shown of the counts.
#[derive(Clone, Debug, Default, PartialEq)]
struct Summary {
    /// How many k-mers occur how often.
    spectrum: BTreeMap<u64, u64>,
    /// The most frequent k-mers, the first ones first, after their counts.
    top: Vec<(u64, u64)>,
}

impl Summary {
    fn of(counts: impl Iterator<Item = (u64, u64)>, top: usize) -> Self {
        let mut summary = Self::default();
        for (kmer, count) in counts {
            *summary.spectrum.entry(count).or_default() += 1;
            if top > 0 {
                summary.top.push((count, kmer));
                if summary.top.len() >= 2 * top + 1024 {
                    summary.cut(top);
                }
            }
        }
        summary.cut(top);
        summary
    }

    fn add(&mut self, other: &Self, top: usize) {
        other.spectrum.iter().for_each(|(count, kmers)| *self.spectrum.entry(*count).or_default() += kmers);
        self.top.extend(&other.top);
        self.cut(top);
    }

    fn cut(&mut self, top: usize) {
        self.top.sort_unstable_by(|(count, kmer), (other, next)| other.cmp(count).then(kmer.cmp(next)));
        self.top.truncate(top);
    }

    fn distinct(&self) -> u64 {
        self.spectrum.values().sum()
    }

    fn total(&self) -> u64 {
        self.spectrum.iter().map(|(count, kmers)| count * kmers).sum()
    }
}

/// Counts with the keyed count of the library.
fn count_by_table(pool: &Pool, pieces: Pieces<'_>, args: &Args) -> Result<Summary, String> {
    let g = Graph::new();
    let counts = g
        .source(pieces)
        .batch_size(1)
        .named("read")
        .try_map(|piece| piece.and_then(Piece::bases))
        .named("parse")
        .flat_map(|bases| Kmers::new(bases, args.k))
        .key_by(|kmer| *kmer)
        .count();
    let mut run = pool.run(g).map_err(|error| why(&error))?;
    Ok(Summary::of(run.take(counts).iter().map(|(kmer, count)| (*kmer, *count)), args.top))
}

/// How many shards there are. One is counted at a time, and should fit into a core's cache.
const SHARDS: usize = 512;
/// So many k-mers wait in a shard until they are worth a visit.
const VISIT: usize = 16 * 1024;

/// The k-mers of one part of all.
#[derive(Default)]
struct Shard {
    waiting: Vec<u64>,
    counts: HashMap<u64, u64, BuildHasherDefault<Mixer>>,
}

impl Shard {
    fn count(&mut self) {
        for kmer in self.waiting.drain(..) {
            *self.counts.entry(kmer).or_default() += 1;
        }
    }
}

/// Mixes the bits of a number; a k-mer needs no better hash.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed");
    }
    #[inline]
    fn write_u64(&mut self, number: u64) {
        let wide = u128::from(number ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let (low, high) = (wide as u64, (wide >> 64) as u64);
        self.0 = low ^ high;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Counts in shards.
///
/// The keyed count has one table for each worker, with 24 bytes a k-mer, and each k-mer is looked up at once: as the
/// table of a genome fits into no cache, each look-up waits for memory. Here a piece is sorted into shards first, and a
/// shard is visited when many k-mers wait there: so a visit finds most of the shard's table in the cache. Also, a k-mer
/// is in one table, not in one for each worker, and nothing is merged at the end.
fn count_by_shards(pool: &Pool, pieces: Pieces<'_>, args: &Args) -> Result<Summary, String> {
    let mut shards: Vec<Mutex<Shard>> = iter::repeat_with(Mutex::default).take(SHARDS).collect();
    let g = Graph::new();
    g.source(pieces)
        .batch_size(1)
        .named("read")
        .try_map(|piece| piece.and_then(Piece::bases))
        .named("parse")
        .for_each(|bases| {
            let expected = bases.len() / SHARDS * 5 / 4 + 16;
            let mut sorted: Vec<_> = iter::repeat_with(|| Vec::with_capacity(expected)).take(SHARDS).collect();
            for kmer in Kmers::new(bases, args.k) {
                sorted[(kmer.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize].push(kmer);
            }
            for (shard, kmers) in iter::zip(&shards, &sorted) {
                let mut shard = shard.lock().expect("no holder panics");
                shard.waiting.extend(kmers);
                if shard.waiting.len() >= VISIT {
                    shard.count();
                }
            }
        })
        .named("count");
    pool.run(g).map_err(|error| why(&error))?;

    pool.for_each_mut(&mut shards, |_, shard| shard.get_mut().expect("no holder panics").count());
    let g = Graph::new();
    let summary = g
        .vec(shards)
        .map(|shard| shard.into_inner().expect("no holder panics").counts)
        .map(|counts| Summary::of(counts.into_iter(), args.top))
        .fold(Summary::default(), |mut all, part| {
            all.add(&part, args.top);
            all
        });
    Ok(pool.run(g).map_err(|error| why(&error))?.take(summary))
}

/// Why a run has failed: what an operator of this program said, or else what the library says.
fn why(error: &millstream::Error) -> String {
    error.as_run().and_then(Error::source).map_or_else(|| error.to_string(), ToString::to_string)
}

// ---- showing -------------------------------------------------------------------------------------------------------

/// The letters of a k-mer.
fn letters(kmer: u64, k: u8) -> String {
    (0..k).rev().map(|place| char::from(b"ACGT"[(kmer >> (2 * place) & 3) as usize])).collect()
}

/// Writes to standard output; whoever reads there may stop when it has enough.
fn print(summary: &Summary, args: &Args) -> Result<(), String> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = || {
        writeln!(out, "{} distinct\n{} total", summary.distinct(), summary.total())?;
        if args.spectrum {
            summary.spectrum.iter().try_for_each(|(count, kmers)| writeln!(out, "{count} {kmers}"))?;
        }
        summary.top.iter().try_for_each(|(count, kmer)| writeln!(out, "{} {count}", letters(*kmer, args.k)))?;
        out.flush()
    };
    match write() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("the counts cannot be written: {error}")),
        _ => Ok(()),
    }
}

/// Writes a line to standard error; if nobody listens there, nothing is lost.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
#[path = "kmers/tests.rs"]
mod tests;
