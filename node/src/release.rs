//! The quarterly release: the quarter's governance artifacts in one ZIP, with their SHA-256 in it,
//! and a manifest of the release beside it. The same files give the same bytes, whoever bundles
//! them and when: entries are in order of their names, stored, and without times or owners. The
//! registry log goes in as it stood when the release was recorded.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ssid_protocol::event::Event;
use ssid_protocol::id::Sha256Hash;
use ssid_storage::{PathContext as _, PathError};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::place::Place;
use crate::registry::paths::RegistryPaths;
use crate::registry::stream::LogParts;

#[cfg(test)]
mod tests;

/// The event type by which a release is recorded.
pub const RELEASE_EVENT: &str = "governance_release_published";
/// Bytes of a bundle's files together.
pub const BUNDLE_BYTES: u64 = 256 * 1024 * 1024;
/// The file in a bundle that says what is in it.
const CONTENTS: &str = "MANIFEST.json";
/// The file in a bundle for `sha256sum --check`.
const SUMS: &str = "SHA256SUMS";
/// What [`CONTENTS`] says it is.
const FORMAT: &str = "ssid-release/1";
/// Entries of a bundle that are looked at.
const ENTRIES: usize = 1000;

/// Why a release cannot be made or verified.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A quarter that is not written `YYYY-QN`.
    #[error("{0:?} is no quarter; write it as 2025-Q4")]
    Quarter(String),
    /// Files that a release needs are not there.
    #[error("missing for release {quarter}: {}\n  put them there, or leave them out with --allow-missing", files.join(", "))]
    Missing {
        /// Of which quarter.
        quarter: String,
        /// Which, relative to the repository.
        files: Vec<String>,
    },
    /// The files are larger than [`BUNDLE_BYTES`] together.
    #[error("the files of the release exceed bundle_bytes = {BUNDLE_BYTES}")]
    TooLarge,
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] PathError),
    /// A bundle is not what it says.
    #[error("{} does not verify: {reason}", path.display())]
    Spoiled {
        /// The file that it is about.
        path: PathBuf,
        /// What is wrong with it, in words.
        reason: String,
    },
}

/// A quarter of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarter {
    /// The year, four digits.
    pub year: i16,
    /// 1 to 4.
    pub number: i8,
}

impl Quarter {
    /// The quarter that a moment is in, in UTC.
    pub fn at(moment: jiff::Timestamp) -> Self {
        let date = moment.to_zoned(jiff::tz::TimeZone::UTC).date();
        Self {
            year: date.year(),
            number: (date.month() - 1) / 3 + 1,
        }
    }

    /// Reads `2025-Q4`.
    ///
    /// # Errors
    /// If it is written otherwise.
    pub fn parse(text: &str) -> Result<Self, ReleaseError> {
        let parsed = text.split_once("-Q").and_then(|(year, number)| {
            let fits = year.len() == 4 && number.len() == 1 && text.is_ascii();
            Some(Self {
                year: year.parse().ok()?,
                number: number.parse().ok()?,
            })
            .filter(|_| fits)
        });
        let is_quarter = |quarter: &Self| quarter.year > 0 && (1..=4).contains(&quarter.number);
        parsed
            .filter(is_quarter)
            .ok_or_else(|| ReleaseError::Quarter(text.chars().take(40).collect()))
    }
}

impl std::fmt::Display for Quarter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-Q{}", self.year, self.number)
    }
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledFile {
    /// Its name in the bundle.
    pub name: String,
    /// Where it stood, relative to the repository.
    pub source: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
}

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Always the same.
    pub format: String,
    /// The quarter, as `YYYY-QN`.
    pub quarter: String,
    /// The release's version.
    pub version: String,
    /// Its files, in order of their names.
    pub files: Vec<BundledFile>,
    /// Files that a release can have and this one has not.
    pub missing: Vec<String>,
}

/// The manifest of a release, beside the others in the registry: the registry's own keys, facts
/// only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseManifest {
    /// The bundle, relative to the repository.
    pub artifact: String,
    /// The release's version.
    pub version: String,
    /// The quarter, as `YYYY-QN`.
    pub quarter: String,
    /// The blueprint in force.
    pub blueprint: String,
    /// The score that the compliance report states; `unknown` if it states none.
    pub compliance_score: String,
    /// SHA-256 of the bundle.
    pub hash: String,
    /// When this very bundle was first made.
    pub created_at: String,
    /// The repository's commit; empty if it is not known.
    pub git_commit: String,
    /// As `hash`: what is anchored.
    pub proof_anchor: String,
    /// Names of the files in it.
    pub files_included: Vec<String>,
    /// Files that are not in it, though they could be.
    pub files_missing: Vec<String>,
    /// How many files.
    pub file_count: usize,
    /// Bytes of the bundle.
    pub bundle_size_bytes: u64,
}

/// What to release.
#[derive(Clone, Debug)]
pub struct ReleaseOptions {
    /// The quarter, as `YYYY-QN`.
    pub quarter: Quarter,
    /// The blueprint in force, for example `v4.4`.
    pub blueprint: String,
    /// The repository's commit; empty if it is not known.
    pub git_commit: String,
    /// Whether a release without files that it should have is made all the same.
    pub allow_missing: bool,
    /// The time at which it is made, RFC 3339.
    pub at: String,
}

/// A file that can be in a release.
struct Source {
    path: String,
    required: bool,
}

fn sources(quarter: Quarter) -> Vec<Source> {
    let source = |path: &str, required| Source {
        path: path.to_owned(),
        required,
    };
    vec![
        source(
            &format!("05_documentation/reports/{quarter}/COMPLIANCE_REPORT.md"),
            true,
        ),
        source(
            "05_documentation/reports/dashboard/SSID_Governance_Dashboard.md",
            true,
        ),
        source(
            "05_documentation/reports/dashboard/dashboard_data.csv",
            false,
        ),
        source(
            "24_meta_orchestration/registry/logs/registry_events.log",
            true,
        ),
        source(
            "24_meta_orchestration/registry/manifests/integrity_checksums.json",
            false,
        ),
        source(
            "24_meta_orchestration/registry/manifests/dashboard_manifest.json",
            false,
        ),
        source("24_meta_orchestration/promotion_rules.yaml", false),
        source("07_governance_legal/branch_protection_rules.yaml", false),
        source("05_documentation/OPERATIONS_GUIDE.md", false),
        source("README.md", false),
    ]
}

/// Makes the bundle and the manifest of a release in the repository of `paths`. What would say the
/// same is not written again.
///
/// # Errors
/// If files are missing or too large, or cannot be read or written.
pub fn bundle(
    paths: &RegistryPaths,
    options: &ReleaseOptions,
) -> Result<ReleaseManifest, ReleaseError> {
    let quarter = options.quarter;
    let version = format!("{}-Q{}-{}", options.blueprint, quarter.number, quarter.year);
    // what is left of the limit is what the next file may have: in memory it never gets above it
    let (mut files, mut missing, mut needed, mut total) =
        (BTreeMap::new(), Vec::new(), Vec::new(), 0);
    // what is missing is listed in the bundle, so that its absence can be seen
    for source in sources(quarter) {
        let Some(mut bytes) = read(&paths.at(&source.path), BUNDLE_BYTES - total)? else {
            if source.required {
                needed.push(source.path.clone());
            }
            missing.push(source.path);
            continue;
        };
        // a bundle made again later must have the same bytes
        if paths.at(&source.path) == paths.registry_log {
            bytes.truncate(recorded_at(&bytes, &version));
        }
        total += bytes.len() as u64;
        // flat in the archive; where each comes from stands in its contents
        let name = source
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        files.insert(name, (source.path, bytes));
    }
    // all of them are named: whoever makes them does not want to be told one after the other
    if !needed.is_empty() && !options.allow_missing {
        return Err(ReleaseError::Missing {
            quarter: quarter.to_string(),
            files: needed,
        });
    }
    // stated, not computed: the report is the organisation's own word
    let score = files
        .get("COMPLIANCE_REPORT.md")
        .and_then(|(_, bytes)| stated_score(bytes));
    let contents = contents(&files, &quarter.to_string(), &version, missing);
    let artifact = format!("05_documentation/releases/SSID_Quarterly_Release_{quarter}.zip");
    let place = paths.at(&artifact);
    let packed = pack(&files, &contents).context("pack", &place)?;
    // the bundle before the manifest that names its hash
    write_if_new(&place, &packed)?;
    let manifest = ReleaseManifest {
        artifact,
        version,
        quarter: quarter.to_string(),
        blueprint: options.blueprint.clone(),
        compliance_score: score.unwrap_or_else(|| "unknown".to_owned()),
        hash: Sha256Hash::of(&[&packed]).to_string(),
        created_at: options.at.clone(),
        git_commit: options.git_commit.clone(),
        proof_anchor: Sha256Hash::of(&[&packed]).to_string(),
        files_included: contents
            .files
            .iter()
            .map(|file| file.name.clone())
            .collect(),
        files_missing: contents.missing.clone(),
        file_count: contents.files.len(),
        bundle_size_bytes: packed.len() as u64,
    };
    record(&paths.release_manifest(&manifest.quarter), manifest)
}

/// The manifest that stands there if it is of the same bundle, else the new one, written.
fn record(path: &Place, manifest: ReleaseManifest) -> Result<ReleaseManifest, ReleaseError> {
    let standing = path
        .read(BUNDLE_BYTES)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<ReleaseManifest>(&bytes).ok());
    if let Some(standing) = standing.filter(|standing| standing.hash == manifest.hash) {
        return Ok(standing);
    }
    let text = serde_json::to_string_pretty(&manifest).context("write", path)?;
    write_if_new(path, (text + "\n").as_bytes())?;
    Ok(manifest)
}

/// The bytes of a file; none if there is none.
fn read(path: &Place, limit: u64) -> Result<Option<Vec<u8>>, ReleaseError> {
    match path.read_to_publish(limit) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::FileTooLarge => Err(ReleaseError::TooLarge),
        read => Ok(Some(read.context("read", path)?)),
    }
}

/// Where in the log the release was recorded: what stands there and after it came later than the
/// release.
fn recorded_at(log: &[u8], version: &str) -> usize {
    let mut parts = LogParts::of(log);
    // bytes in memory cannot fail to be read
    while let Ok(Some(part)) = parts.next_part() {
        let is_release = |event: &Event| event.event == RELEASE_EVENT && event.version == version;
        if let Some(entry) = part.entries.iter().find(|entry| is_release(&entry.event)) {
            return usize::try_from(entry.byte_range.start).unwrap_or(log.len());
        }
    }
    log.len()
}

/// `100/100` from a line such as `**Overall Compliance Score:** 100/100`.
fn stated_score(report: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(report);
    let line = text.lines().find_map(|line| {
        line.split_once("Overall Compliance Score:")
            .map(|(_, score)| score)
    })?;
    let score = line
        .trim_matches(|c: char| c == '*' || c.is_whitespace())
        .split_whitespace()
        .next()?;
    let (points, of) = score.split_once('/')?;
    [points, of]
        .iter()
        .all(|part| part.parse::<u16>().is_ok())
        .then(|| score.to_owned())
}

fn contents(
    files: &BTreeMap<String, (String, Vec<u8>)>,
    quarter: &str,
    version: &str,
    missing: Vec<String>,
) -> Contents {
    let file = |(name, (source, bytes)): (&String, &(String, Vec<u8>))| BundledFile {
        name: name.clone(),
        source: source.clone(),
        sha256: Sha256Hash::of(&[bytes]).to_string(),
        bytes: bytes.len() as u64,
    };
    Contents {
        format: FORMAT.to_owned(),
        quarter: quarter.to_owned(),
        version: version.to_owned(),
        files: files.iter().map(file).collect(),
        missing,
    }
}

/// The ZIP. Stored: compressors differ from one version to the next, and the same files are to give
/// the same bytes.
fn pack(files: &BTreeMap<String, (String, Vec<u8>)>, contents: &Contents) -> io::Result<Vec<u8>> {
    let said = serde_json::to_string_pretty(contents)? + "\n";
    let sums = contents.files.iter().fold(String::new(), |sums, file| {
        sums + &file.sha256 + "  " + &file.name + "\n"
    });
    let mut entries: BTreeMap<&str, &[u8]> = files
        .iter()
        .map(|(name, (_, bytes))| (name.as_str(), &bytes[..]))
        .collect();
    // both lists go in by name, so that the order is the same on every machine
    entries.insert(CONTENTS, said.as_bytes());
    entries.insert(SUMS, sums.as_bytes());
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(name, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Verifies a bundle: every file is there, says what its SHA-256 in the bundle says, and nothing
/// else is in it.
///
/// # Errors
/// If the file cannot be read, or what does not hold.
pub fn verify(path: &Path) -> Result<Contents, ReleaseError> {
    let spoiled = |reason: String| spoiled(path, reason);
    let Unpacked { said, mut hashes } = unpack(path)?;
    let said = said.ok_or_else(|| spoiled(format!("it has no {CONTENTS}")))?;
    // made of the contents for `sha256sum`, which checks it there
    hashes.remove(SUMS);
    let contents: Contents =
        serde_json::from_slice(&said).map_err(|e| spoiled(format!("{CONTENTS}: {e}")))?;
    if contents.format != FORMAT {
        return Err(spoiled(format!(
            "its format is {:?}, not {FORMAT:?}",
            contents.format
        )));
    }
    for file in &contents.files {
        match hashes.remove(&file.name) {
            None => return Err(spoiled(format!("{} is missing", file.name))),
            Some(hash) if hash != file.sha256 => {
                return Err(spoiled(format!(
                    "{} has SHA-256 {hash}, not {}",
                    file.name, file.sha256
                )));
            }
            Some(_) => {}
        }
    }
    // more than it says would travel under its seal
    match hashes.keys().next() {
        Some(more) => Err(spoiled(format!(
            "{more} is in it, and not in its {CONTENTS}"
        ))),
        None => Ok(contents),
    }
}

fn spoiled(path: &Path, reason: String) -> ReleaseError {
    ReleaseError::Spoiled {
        path: path.to_owned(),
        reason,
    }
}

/// What is in a bundle.
#[derive(Default)]
struct Unpacked {
    /// What it says of itself.
    said: Option<Vec<u8>>,
    /// SHA-256 of every other file, by its name.
    hashes: BTreeMap<String, String>,
}

/// Reads a bundle, of which at most one file is in memory at a time.
fn unpack(path: &Path) -> Result<Unpacked, ReleaseError> {
    let spoiled = |reason: String| spoiled(path, reason);
    let file = Place::from(path).open().context("read", path)?;
    let mut zip = ZipArchive::new(file).map_err(|e| spoiled(e.to_string()))?;
    // before any is unpacked: an archive of a few kilobytes may claim millions
    if zip.len() > ENTRIES {
        return Err(spoiled(format!("it has more than {ENTRIES} entries")));
    }
    let mut unpacked = Unpacked::default();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(|e| spoiled(e.to_string()))?;
        let mut bytes = Vec::new();
        entry
            .by_ref()
            // a byte more than allowed, to notice it: what the archive says of sizes may be a lie
            .take(BUNDLE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| spoiled(e.to_string()))?;
        if bytes.len() as u64 > BUNDLE_BYTES {
            return Err(ReleaseError::TooLarge);
        }
        let name = entry
            .name()
            .map_err(|e| spoiled(e.to_string()))?
            .into_owned();
        let is_twice = if name == CONTENTS {
            unpacked.said.replace(bytes).is_some()
        } else {
            let hash = Sha256Hash::of(&[&bytes]).to_string();
            unpacked.hashes.insert(name.clone(), hash).is_some()
        };
        // unpackers take the first or the last of one name: what was verified must be what is seen
        if is_twice {
            return Err(spoiled(format!("{name} is in it twice")));
        }
    }
    Ok(unpacked)
}

fn write_if_new(path: &Place, bytes: &[u8]) -> Result<(), ReleaseError> {
    if path
        .read(bytes.len() as u64)
        .is_ok_and(|standing| standing == bytes)
    {
        return Ok(());
    }
    let made = path.directory().make();
    made.and_then(|()| path.replace(bytes))
        .context("write", path)?;
    Ok(())
}
