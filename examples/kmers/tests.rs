//! Both ways to count against a naive one, on random files in pieces of all sizes; and what is said of broken ones.

use std::env;
use std::fs;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A file that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(bytes: &[u8]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kmers-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::write(&path, bytes).expect("a file can be written");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Random numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    fn sequence(&mut self, length: usize) -> Vec<u8> {
        // Of few kinds of letters, so that k-mers come again; some are no bases.
        let letters: &[u8] = [&b"ACGT"[..], b"acGTN", b"AAAC", b"ATatn-"][self.below(4)];
        (0..length).map(|_| letters[self.below(letters.len())]).collect()
    }
}

/// The sequences in lines of some length.
fn fasta(random: &mut Random, sequences: &[Vec<u8>]) -> Vec<u8> {
    let (width, end) = (1 + random.below(80), ["\n", "\r\n"][random.below(2)]);
    let mut file = Vec::new();
    for sequence in sequences {
        file.extend_from_slice(format!(">ACGT a > b{end}").as_bytes());
        for line in sequence.chunks(width) {
            file.extend_from_slice(line);
            file.extend_from_slice(end.as_bytes());
        }
        file.extend_from_slice(end.repeat(random.below(2)).as_bytes());
    }
    file.truncate(file.len() - random.below(2) * end.len());
    file
}

fn fastq(random: &mut Random, sequences: &[Vec<u8>]) -> Vec<u8> {
    let end = ["\n", "\r\n"][random.below(2)];
    let mut file = String::new();
    for sequence in sequences.iter().filter(|sequence| !sequence.is_empty()) {
        let bases = String::from_utf8_lossy(sequence);
        file += &format!("@ACGT{end}{bases}{end}+{end}{}{end}", "@".repeat(sequence.len()));
    }
    file += &end.repeat(random.below(9));
    file.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    // Of two members, as some programs write it.
    let member = |part: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part).expect("memory");
        encoder.finish().expect("memory")
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [member(first), member(second)].concat()
}

/// Counts with strings and a map.
fn naive(sequences: &[Vec<u8>], k: usize) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for kmer in sequences.iter().flat_map(|sequence| sequence.windows(k)) {
        let kmer = kmer.to_ascii_uppercase();
        if kmer.iter().all(|letter| b"ACGT".contains(letter)) {
            let complement = |letter: &u8| match letter {
                b'A' => b'T',
                b'C' => b'G',
                b'G' => b'C',
                _ => b'A',
            };
            let back: Vec<u8> = kmer.iter().rev().map(complement).collect();
            *counts.entry(String::from_utf8(kmer.min(back)).expect("letters")).or_default() += 1;
        }
    }
    counts
}

fn args(k: usize) -> Args {
    Args::parse_from(["kmers", "--top", "100000000", "-k", &k.to_string()])
}

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).oversubscribe(true).build().expect("threads")
}

#[test]
fn both_ways_count_as_a_naive_program_does() {
    let mut random = Random(1);
    let pools = [pool(1), pool(3)];
    for round in 0..30 {
        let k = 1 + random.below(31);
        let (mut sequences, mut files) = (Vec::new(), Vec::new());
        for _ in 0..=random.below(2) {
            let mut own: Vec<_> = (0..=random.below(5)).map(|_| random.below(400)).collect();
            own[0] += 1; // a file without any sequence has no format
            let own: Vec<_> = own.into_iter().map(|length| random.sequence(length)).collect();
            let file = if random.below(2) == 0 { fasta(&mut random, &own) } else { fastq(&mut random, &own) };
            files.push(Scratch::new(&if random.below(3) == 0 { gzip(&file) } else { file }));
            sequences.extend(own);
        }
        let paths: Vec<PathBuf> = files.iter().map(|file| file.0.clone()).collect();
        let (size, args) = ([1 + random.below(30), 1 + random.below(2000), PIECE][random.below(3)], args(k));
        let counted = [
            count_by_table(&pools[round % 2], Pieces::new(&paths, k, size), &args),
            count_by_shards(&pools[round % 2], Pieces::new(&paths, k, size), &args),
        ];
        let truth = naive(&sequences, k);
        for summary in counted {
            let summary = summary.expect("the files are well");
            let letters = |(count, kmer): &(u64, u64)| (letters(*kmer, args.k), *count);
            assert_eq!(summary.top.iter().map(letters).collect::<BTreeMap<_, _>>(), truth, "round {round}");
            assert_eq!(summary.distinct(), truth.len() as u64);
            assert_eq!(summary.total(), truth.values().sum::<u64>());
            assert!(summary.top.is_sorted_by_key(|(count, kmer)| (u64::MAX - count, *kmer)));
        }
    }
}

#[test]
fn few_of_the_most_frequent_are_the_first_ones() {
    let mut random = Random(2);
    let file = Scratch::new(&[b">\n", &*random.sequence(100_000)].concat());
    let paths = [file.0.clone()];
    let pool = pool(2);
    let all = count_by_shards(&pool, Pieces::new(&paths, 9, PIECE), &args(9)).expect("the file is well");
    let few = Args::parse_from(["kmers", "--top", "7", "-k", "9"]);
    for count in [count_by_table, count_by_shards] {
        let found = count(&pool, Pieces::new(&paths, 9, PIECE), &few).expect("the file is well");
        assert_eq!(found.top, all.top[..7]);
    }
}

/// What is said of a file, whatever the size of the pieces.
#[track_caller]
fn says(bytes: &[u8], line: u64, what: &str) {
    let (file, pool) = (Scratch::new(bytes), pool(2));
    let (paths, args) = ([file.0.clone()], args(3));
    for size in [1, 5, 20, PIECE] {
        let error = count_by_shards(&pool, Pieces::new(&paths, 3, size), &args).expect_err("the file is broken");
        let expected = format!("'{}', line {line}: {what}", file.0.display());
        assert!(error.contains(&expected), "{error}\nand not\n{expected}");
    }
}

#[test]
fn what_is_broken_is_named_with_its_line() {
    says(b"", 1, "the file is empty");
    says(b"\n\n", 3, "the file is empty");
    says(&gzip(b""), 1, "the file is empty");
    says(b"\nACGT\n>a\nACGT\n", 2, "a sequence before a header");
    says(b"@a\nACGT\n+\n!!!!\n@b\nACGT\n+\n!!!\n@c\nA\n+\n", 8, "3 letters of quality for 4 bases");
    says(b"@a\nACGT\n+\n!!!!!\n", 4, "5 letters of quality for 4 bases");
    says(b"@a\nACGT\n!!!!\n@b\nACGT\n+\n!!!!\n", 3, "the third line of a record begins with '+'");
    says(b"@a\nACGT\n+\n!!!!\n\n@b\nACGT\n+\n!!!!\n", 5, "a record begins with '@'");
    says(b"@a\nACGT\n+\n!!!!\n@b\nACGT\n", 7, "the third line of a record begins with '+'");
    says(b"@a\nACGT\n+\n!!!!\n@b\nACGT\n+", 8, "0 letters of quality for 4 bases");
    says(b"@a\nACGT\n+\n!!!!\n@b", 5, "the last record has no sequence");
    let mut truncated = GzEncoder::new(Vec::new(), Compression::none());
    truncated.write_all(b">a\nACGT\nACGT\n").expect("memory");
    let mut truncated = truncated.finish().expect("memory");
    truncated.truncate(truncated.len() - 4);
    says(&truncated, 4, "the file cannot be read on: ");
}
