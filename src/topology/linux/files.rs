//! Reads one small file of the kernel, whatever is in it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::super::CpuSet;

/// How many bytes of a file are read. All files of the kernel that are read here are shorter.
const MAX_BYTES: u64 = 1 << 20;

/// The text of a file, without white space and zero bytes around it. None if there is no such file.
pub(super) fn text(path: &Path) -> Option<String> {
    start_of(path, MAX_BYTES)
}

/// The text of the first `limit` bytes of a file.
pub(super) fn start_of(path: &Path, limit: u64) -> Option<String> {
    // A pipe in a recording would never end.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

pub(super) fn number(path: &Path) -> Option<i64> {
    text(path)?.parse().ok()
}

pub(super) fn list(path: &Path) -> Option<CpuSet> {
    text(path)?.parse().ok()
}

/// All sets that can be read: first the mask of each name, then the list of each name.
///
/// The mask is in the file `<name>`, or for a cache in `<name>_map`; the list is in `<name>_list`. The kernel writes
/// the same set into both. A recording may have been edited; then the masks are what was meant, because all kernels
/// have them and hwloc reads nothing else.
pub(super) fn sets<'a, const N: usize>(folder: &'a Path, names: [&'a str; N]) -> impl Iterator<Item = CpuSet> + 'a {
    let mask = |file: String| CpuSet::from_mask(&text(&folder.join(file))?);
    let masks = names.into_iter().map(move |name| mask(name.to_owned()).or_else(|| mask(format!("{name}_map"))));
    let lists = names.into_iter().map(|name| list(&folder.join(format!("{name}_list"))));
    masks.chain(lists).flatten()
}

/// The first of the [`sets`] that contains the CPU in whose folder the files are. A set without that CPU is wrong.
pub(super) fn set_with<const N: usize>(cpu: usize, folder: &Path, names: [&str; N]) -> Option<CpuSet> {
    sets(folder, names).find(|set| set.contains(cpu))
}

/// A size such as `8192K`, in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The numbers `n` of the entries of a folder that are called `name` followed by `n`, in ascending order.
pub(super) fn numbered(folder: &Path, name: &str) -> Vec<usize> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix(name)?.parse().ok();
    let mut numbers: Vec<usize> = entries.flatten().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
