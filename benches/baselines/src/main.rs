//! `baselines hash FILE`: one pass of the csv crate with a hash per row. `baselines diff FILE FILE`: the csv-diff crate.

use std::hash::{DefaultHasher, Hash, Hasher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["hash", file] => {
            let mut reader = csv::Reader::from_path(file)?;
            let mut record = csv::ByteRecord::new();
            let (mut rows, mut sum) = (0u64, 0u64);
            while reader.read_byte_record(&mut record)? {
                let mut hasher = DefaultHasher::new();
                record.as_slice().hash(&mut hasher);
                sum ^= hasher.finish();
                rows += 1;
            }
            println!("{rows} rows, {sum:016x}");
        }
        ["diff", before, after] => {
            let differ = csv_diff::csv_diff::CsvByteDiffLocal::new()?;
            let csv = |path: &str| Ok::<_, std::io::Error>(csv_diff::csv::Csv::with_reader_seek(std::fs::File::open(path)?));
            let differences = differ.diff(csv(before)?, csv(after)?)?;
            println!("{} differences", differences.as_slice().len());
        }
        _ => return Err("baselines hash FILE | baselines diff BEFORE AFTER".into()),
    }
    Ok(())
}
