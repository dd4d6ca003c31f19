//! `baselines hash FILE`: one pass of the csv crate with a hash per row. `baselines diff FILE FILE`: the csv-diff crate.
//! `baselines send FILE`: the people of an export, group by group, to JSON and over one loopback connection; prints the seconds of
//! that, without reading the file.

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
        ["send", file] => println!("{:.4}", send(file)?),
        _ => return Err("baselines hash FILE | baselines diff BEFORE AFTER | baselines send FILE".into()),
    }
    Ok(())
}

/// A member as the API takes them.
#[derive(serde::Serialize)]
struct Member {
    reference_id: String,
    first_name: String,
    last_name: String,
    date_of_birth: String,
    phone: String,
    email: String,
    plan_id: &'static str,
    address: Address,
}

#[derive(serde::Serialize)]
struct Address {
    address_line_1: String,
    address_line_2: String,
    city: String,
    state: String,
    zipcode: String,
}

fn send(file: &str) -> Result<f64, Box<dyn std::error::Error>> {
    use std::io::{Read, Write};
    let mut groups: std::collections::BTreeMap<String, Vec<Member>> = std::collections::BTreeMap::new();
    for record in csv::Reader::from_path(file)?.records() {
        let record = record?;
        let cell = |at: usize| record.get(at).unwrap_or_default().to_owned();
        let address =
            Address { address_line_1: cell(15), address_line_2: cell(16), city: cell(17), state: cell(18), zipcode: cell(19) };
        let member = Member {
            reference_id: cell(0),
            first_name: cell(2),
            last_name: cell(3),
            date_of_birth: cell(5),
            phone: cell(8),
            email: cell(7),
            plan_id: "pln_default",
            address,
        };
        groups.entry(cell(11)).or_default().push(member);
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sink = std::thread::spawn(move || -> std::io::Result<u64> {
        let (mut connection, _) = listener.accept()?;
        let mut buf = vec![0; 1 << 16];
        let mut all = 0;
        loop {
            match connection.read(&mut buf)? {
                0 => return Ok(all),
                n => all += n as u64,
            }
        }
    });
    let begun = std::time::Instant::now();
    let mut connection = std::net::TcpStream::connect(address)?;
    for members in groups.values() {
        connection.write_all(&serde_json::to_vec(members)?)?;
    }
    drop(connection);
    sink.join().map_err(|_| "the sink failed")??;
    Ok(begun.elapsed().as_secs_f64())
}
