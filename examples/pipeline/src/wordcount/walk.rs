//! The first stage: which files there are.

use crate::stage::{Error, Out};
use gosched::{fs, syscall};
use indicatif::ProgressBar;
use std::path::PathBuf;
use walkdir::WalkDir;

/// Sends on the files that are named, and the regular ones below directories. What is neither, below a directory (a pipe, a
/// device, a link that is not followed), is passed over; a link that leads back up is a problem where links are followed.
pub fn walk(
    paths: Vec<PathBuf>,
    follow: bool,
    files: &Out<PathBuf>,
    problems: &Out<String>,
    bar: &ProgressBar,
) -> Result<(), Error> {
    for path in paths {
        let mut entries = WalkDir::new(path).follow_links(follow).into_iter();
        // The walk asks the system at each step, which may take its time.
        while let Some(entry) = syscall(|| entries.next()) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    problems.send(e.to_string())?;
                    continue;
                }
            };
            let kind = entry.file_type();
            let named = entry.depth() == 0;
            // (A link that is named may lead to a directory, whose entries come next.)
            let metadata = fs::metadata(entry.path());
            let wanted = if named { !metadata.as_ref().is_ok_and(|m| m.is_dir()) } else { kind.is_file() };
            if wanted {
                bar.inc_length(metadata.map_or(0, |m| m.len()));
                files.send(entry.into_path())?;
            }
        }
    }
    Ok(())
}
