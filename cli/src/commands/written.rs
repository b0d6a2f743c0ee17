//! Documents that a command writes to a file or prints.

use std::path::Path;

use anyhow::Result;
use ssid_node::config::write_atomic;

use crate::output::{Output, is_standard_output};

/// Writes a document to a file, or to standard output.
pub(super) fn write(text: &str, output: Option<&Path>, out: Output) -> Result<()> {
    match output.filter(|path| !is_standard_output(path)) {
        Some(path) => {
            write_atomic(path, text.as_bytes())?;
            out.remark(&format!("wrote {}", path.display()));
        }
        None => out.document(text.trim_end())?,
    }
    Ok(())
}
