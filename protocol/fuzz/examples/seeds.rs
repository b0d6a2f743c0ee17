//! Writes `seeds/TARGET/NAME`, the bytes that fuzzing begins with; run it where a format has
//! changed: `cargo run --example seeds` in protocol/fuzz.

use std::error::Error;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for decoder in ssid_fuzz::all() {
        let dir = seeds.join(decoder.name);
        fs::create_dir_all(&dir)?;
        for (name, bytes) in (decoder.seeds)() {
            assert!(
                (decoder.check)(&bytes),
                "{} refuses its seed {name}",
                decoder.name
            );
            fs::write(dir.join(name), bytes)?;
        }
    }
    Ok(())
}
