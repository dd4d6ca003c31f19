//! `baselines hash FILE`: one pass of the csv crate with a hash per row. `baselines diff FILE FILE`: the csv-diff crate.
//! `baselines send FILE`: the people of an export, group by group, to JSON and over one loopback connection; prints the seconds of
//! that, without reading the file. `baselines exchange FILE`: the same, but the other side reads each roster and answers an id for each member,
//! which this side reads: what a client and an API do at least, who check nothing and remember nothing. `baselines accept`: an API that keeps nothing but counts, for loads that the sandbox, which remembers every
//! person, has no memory for; prints its base URL and answers until it is ended.

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
        ["send", file] => println!("{:.4}", send(&rosters(file)?)?),
        ["exchange", file] => println!("{:.4}", exchange(&rosters(file)?)?),
        ["accept"] => accept()?,
        _ => return Err("baselines hash FILE | diff BEFORE AFTER | send FILE | exchange FILE | accept".into()),
    }
    Ok(())
}

/// A member as the API takes them.
#[derive(serde::Serialize, serde::Deserialize)]
struct Member {
    reference_id: String,
    first_name: String,
    last_name: String,
    date_of_birth: String,
    phone: String,
    email: String,
    plan_id: String,
    address: Address,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Address {
    address_line_1: String,
    address_line_2: String,
    city: String,
    state: String,
    zipcode: String,
}

type Rosters = std::collections::BTreeMap<String, Vec<Member>>;

/// The people of an export, group by group.
fn rosters(file: &str) -> Result<Rosters, Box<dyn std::error::Error>> {
    let mut groups = Rosters::new();
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
            plan_id: "pln_default".to_owned(),
            address,
        };
        groups.entry(cell(11)).or_default().push(member);
    }
    Ok(groups)
}

fn send(groups: &Rosters) -> Result<f64, Box<dyn std::error::Error>> {
    use std::io::{Read, Write};
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

fn exchange(groups: &Rosters) -> Result<f64, Box<dyn std::error::Error>> {
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let api = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut connection, _) = listener.accept()?;
        let mut number = 0_u64;
        while let Some(body) = take(&mut connection)? {
            let members: Vec<Member> = serde_json::from_slice(&body)?;
            let ids: Vec<String> = members.iter().map(|_| { number += 1; format!("grpmbr_{number:022}") }).collect();
            give(&mut connection, &serde_json::to_vec(&ids)?)?;
        }
        Ok(())
    });
    let begun = std::time::Instant::now();
    let mut connection = TcpStream::connect(address)?;
    let mut answers = connection.try_clone()?;
    let client = std::thread::spawn(move || -> std::io::Result<usize> {
        let mut all = 0;
        while let Some(body) = take(&mut answers)? {
            all += serde_json::from_slice::<Vec<String>>(&body)?.len();
        }
        Ok(all)
    });
    for members in groups.values() {
        give(&mut connection, &serde_json::to_vec(members)?)?;
    }
    connection.shutdown(std::net::Shutdown::Write)?;
    api.join().map_err(|_| "the API failed")??;
    let answered = client.join().map_err(|_| "the client failed")??;
    assert_eq!(answered, groups.values().map(Vec::len).sum::<usize>());
    Ok(begun.elapsed().as_secs_f64())
}

/// Sends a body behind its length.
fn give(connection: &mut impl std::io::Write, body: &[u8]) -> std::io::Result<()> {
    connection.write_all(&(body.len() as u64).to_le_bytes())?;
    connection.write_all(body)
}

/// Takes the next body; none where there are no more.
fn take(connection: &mut impl std::io::Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    if connection.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    connection.read_exact(&mut length[1..])?;
    let mut body = vec![0; usize::try_from(u64::from_le_bytes(length)).unwrap_or_default()];
    connection.read_exact(&mut body)?;
    Ok(Some(body))
}

fn accept() -> Result<(), Box<dyn std::error::Error>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    for connection in listener.incoming() {
        let connection = connection?;
        std::thread::spawn(move || answer_all(connection));
    }
    Ok(())
}

/// Answers one request after the other. All that has to be remembered of a roster, how many are on it, is its request's id.
fn answer_all(connection: std::net::TcpStream) -> std::io::Result<()> {
    use std::io::{BufRead, BufReader, Read, Write};
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    loop {
        let (mut request, mut line, mut length) = (String::new(), String::new(), 0);
        reader.read_line(&mut request)?;
        while { line.clear(); 2 < reader.read_line(&mut line)? } {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = request.split(' ').nth(1).unwrap_or_default();
        let parts: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let data = match (request.starts_with("POST"), parts.as_slice()) {
            (_, [.., "plans"]) => r#"[{"id":"pln_default","name":"Default"}]"#.to_owned(),
            (false, [.., "groups"]) => "[]".to_owned(),
            (true, [.., "groups"]) => {
                let group: serde_json::Value = serde_json::from_slice(&body)?;
                let reference = group["external_reference_id"].as_str().unwrap_or_default();
                format!(r#"{{"id":"grp_{reference}","name":"{reference}","external_reference_id":"{reference}"}}"#)
            }
            (true, [.., group, "members", "sync"]) => {
                let members = body.windows(14).filter(|window| window == b"\"reference_id\"").count();
                format!(r#"{{"request_id":"grpmsr_{members}","group_id":"{group}","accepted_at":"2026-01-01T00:00:00Z"}}"#)
            }
            (_, [.., group, "members", "sync", id]) => {
                let members = id.trim_start_matches("grpmsr_").parse().unwrap_or(0);
                let added = vec!["\"m\""; members].join(",");
                format!(
                    r#"{{"request_id":"{id}","group_id":"{group}","accepted_at":"2026-01-01T00:00:00Z","completed_at":"2026-01-01T00:00:01Z",
                    "results":{{"added_group_member_ids":[{added}],"removed_group_member_ids":[],"failures":[]}}}}"#
                )
            }
            _ => return Ok(()),
        };
        let body = format!(r#"{{"data":{data},"pagination":{{"page":1,"limit":100,"total":1,"total_pages":1}}}}"#);
        write!(writer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    }
}
