//! `symbolon enrol csv`: a code for each line.

use super::{Rights, RightsArgs, allows, device::beside};
use crate::{
    administration::{Administration, Place},
    allow::Allowed,
    client::check_name,
    exit::{one_line, usage},
    output::{self, OutputArgs},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};
use symbolon_auth_server::admin::model::{
    ExpectedClient, NewInitialAccessToken, NewInitialAccessTokens,
};

/// The most bytes that are read.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The most devices in one file.
const MAX_DEVICES: usize = 100_000;
/// How many complaints are shown.
const MAX_COMPLAINTS: usize = 20;
/// The columns there may be.
const COLUMNS: &str = "name, allow, group, token_lifetime_secs";

/// `symbolon enrol csv FILE --out FILE`.
#[derive(Debug, clap::Args)]
pub(crate) struct CsvArgs {
    /// The devices, a line each, below a line of headings: `name`, and as many `allow` and `group` as it takes, `token_lifetime_secs`
    file: PathBuf,
    /// Where the codes go, a line each: `name,token,issuer,expires_at`
    #[arg(long, value_name = "FILE", required = true)]
    out: PathBuf,
    /// Replace that file where it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    rights: RightsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A device to come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Device {
    name: String,
    allow: Vec<Allowed>,
    groups: Vec<String>,
    token_lifetime_secs: Option<u64>,
}

/// What a column is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Column {
    Name,
    Allow,
    Group,
    TokenLifetime,
}

#[derive(serde::Serialize)]
struct Done<'a> {
    codes: usize,
    file: &'a Path,
}

impl CsvArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        if self.out.exists() && !self.force {
            return Err(usage(format!(
                "{} exists; choose another with --out, or replace it with --force",
                self.out.display()
            )));
        }
        let devices = self.devices()?;
        let administration = self.place.open().await?;
        let rights = Rights::choose(&administration, self.rights.clone()).await?;
        let asked = NewInitialAccessTokens {
            clients: devices
                .iter()
                .map(|(_, device)| device.expected())
                .collect(),
            ..rights.of_all
        };
        self.check_against(&administration, &devices, &asked)
            .await?;
        // Where this file cannot be written, no code is made.
        let mut file = beside(&self.out)?;
        let made = administration.add_initial_access_tokens(&asked).await?;
        let ends = super::date(asked.expires_at);
        let written = write_codes(file.as_file_mut(), &made.tokens, (&rights.issuer, &ends));
        let written = written.and_then(|()| Ok(file.persist(&self.out)?));
        if let Err(error) = written {
            // Codes that nobody knows are of no use.
            for token in &made.tokens {
                administration
                    .remove_initial_access_token(&token.id)
                    .await?;
            }
            return Err(error.context(format!("cannot write {}", self.out.display())));
        }
        if self.output.is_json() {
            return output::print_json(&Done {
                codes: devices.len(),
                file: &self.out,
            });
        }
        println!("{} codes are in {}", devices.len(), self.out.display());
        Ok(())
    }

    /// The devices with their lines, or all that is wrong with the file.
    fn devices(&self) -> anyhow::Result<Vec<(u64, Device)>> {
        let unreadable =
            |error: &dyn ToString| usage(format!("{}: {}", self.file.display(), error.to_string()));
        let file = File::open(&self.file).map_err(|error| unreadable(&error))?;
        let mut text = String::new();
        file.take(MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|error| unreadable(&error))?;
        if u64::try_from(text.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
            return Err(unreadable(&"is larger than 64 MiB"));
        }
        parse(&text).map_err(|complaints| self.complain(&complaints))
    }

    /// What only the authorization server knows.
    async fn check_against(
        &self,
        administration: &Administration,
        devices: &[(u64, Device)],
        asked: &NewInitialAccessTokens,
    ) -> anyhow::Result<()> {
        let clients = administration.clients().await?;
        let clients: BTreeSet<&str> = clients
            .iter()
            .map(|client| client.client_id.as_str())
            .collect();
        let groups = administration.groups().await?;
        let mut complaints = Vec::new();
        for (line, device) in devices {
            if clients.contains(device.name.as_str()) {
                complaints.push((*line, format!("{} is registered already", device.name)));
            }
            for name in asked.groups.iter().chain(&device.groups) {
                if !groups.iter().any(|group| group.name == *name) {
                    complaints.push((*line, format!("there is no group {name:?}")));
                }
            }
            let mut rights = [asked.allow.len(), asked.groups.len()].into_iter();
            if rights.all(|count| count == 0) && device.allow.is_empty() && device.groups.is_empty()
            {
                let why = "it may do nothing: give it an allow or a group, or all of them one with --allow or --group";
                complaints.push((*line, why.to_owned()));
            }
        }
        if complaints.is_empty() {
            return Ok(());
        }
        Err(self.complain(&complaints))
    }

    /// A line for each, with its place.
    fn complain(&self, complaints: &[(u64, String)]) -> anyhow::Error {
        let file = self.file.display();
        let mut lines: Vec<String> = complaints
            .iter()
            .take(MAX_COMPLAINTS)
            .map(|(line, why)| format!("{file}:{line}: {why}"))
            .collect();
        if let Some(more @ 1..) = complaints.len().checked_sub(MAX_COMPLAINTS) {
            lines.push(format!("and {more} more"));
        }
        usage(format!("no code was made\n{}", lines.join("\n")))
    }
}

impl Device {
    fn expected(&self) -> ExpectedClient {
        ExpectedClient {
            client_id: self.name.clone(),
            allow: allows(&self.allow),
            groups: self.groups.clone(),
            token_lifetime_secs: self.token_lifetime_secs,
        }
    }
}

/// With the number of its line, from 1.
type Placed<T> = (u64, T);

/// Every device, or every complaint.
fn parse(text: &str) -> Result<Vec<Placed<Device>>, Vec<Placed<String>>> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns = match reader.headers() {
        Ok(headings) => columns(headings).map_err(|why| vec![(1, why)])?,
        Err(error) => return Err(vec![(1, error.to_string())]),
    };
    let mut devices = Vec::new();
    let mut complaints = Vec::new();
    let mut names = BTreeMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                complaints.push((line, error.to_string()));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match device(&record, &columns) {
            Ok(device) => {
                if let Some(first) = names.insert(device.name.clone(), line) {
                    complaints.push((line, format!("{} stands in line {first} too", device.name)));
                }
                devices.push((line, device));
            }
            Err(why) => complaints.push((line, why)),
        }
        if devices.len() > MAX_DEVICES {
            let why = format!("there are more than {MAX_DEVICES} devices");
            return Err(vec![(line, why)]);
        }
    }
    match (complaints.is_empty(), devices.is_empty()) {
        (true, false) => Ok(devices),
        (true, true) => Err(vec![(1, "there is no device in it".to_owned())]),
        (false, _) => Err(complaints),
    }
}

fn columns(headings: &csv::StringRecord) -> Result<Vec<Column>, String> {
    let columns: Vec<Column> = headings
        .iter()
        .map(|heading| match heading.trim_start_matches('\u{feff}') {
            "name" => Ok(Column::Name),
            "allow" => Ok(Column::Allow),
            "group" => Ok(Column::Group),
            "token_lifetime_secs" => Ok(Column::TokenLifetime),
            other => Err(format!("{other:?} is no column; the columns are {COLUMNS}")),
        })
        .collect::<Result<_, _>>()?;
    let count = |wanted| columns.iter().filter(|column| **column == wanted).count();
    if count(Column::Name) != 1 || count(Column::TokenLifetime) > 1 {
        return Err(format!(
            "the first line must have `name` once, and may have others of {COLUMNS}"
        ));
    }
    Ok(columns)
}

fn device(record: &csv::StringRecord, columns: &[Column]) -> Result<Device, String> {
    let mut device = Device::default();
    for (index, cell) in record.iter().enumerate() {
        let column = columns.get(index);
        let column = column.ok_or("it has more cells than the first line")?;
        match column {
            Column::Name => cell.clone_into(&mut device.name),
            Column::Allow | Column::Group | Column::TokenLifetime if cell.is_empty() => {}
            Column::Allow => device
                .allow
                .push(cell.parse().map_err(|error| format!("{cell}: {error}"))?),
            Column::Group => device.groups.push(cell.to_owned()),
            Column::TokenLifetime => {
                let secs = cell.parse().ok().filter(|secs| *secs > 0);
                let why = "token_lifetime_secs must be a number of 1 or more";
                device.token_lifetime_secs = Some(secs.ok_or(why)?);
            }
        }
    }
    check_name(&device.name).map_err(|error| one_line(&error))?;
    Ok(device)
}

fn write_codes(
    file: &mut File,
    tokens: &[NewInitialAccessToken],
    (issuer, expires_at): (&str, &str),
) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(std::io::BufWriter::new(&*file));
    writer.write_record(["name", "token", "issuer", "expires_at"])?;
    for token in tokens {
        writer.write_record([&*token.name, token.token.as_str(), issuer, expires_at])?;
    }
    writer.flush()?;
    drop(writer);
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_device_with_what_it_may_do() {
        let text = "name,allow,allow,group,token_lifetime_secs\n\
                    a,pub:x/#,\"sub:y, z\",,60\n\
                    b\n\
                    \"c\",,,meters,\n";
        let devices = parse(text).unwrap_or_default();
        let lines: Vec<u64> = devices.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4], "{:?}", parse(text));
        assert_eq!(devices[0].1.allow.len(), 2);
        assert_eq!(devices[0].1.token_lifetime_secs, Some(60));
        assert_eq!(devices[2].1.groups, ["meters"]);
    }

    #[test]
    fn all_that_is_wrong_is_said_with_its_line() {
        let text = "name,allow\na,pub:x\na/b,pub:x\na,pub:y\nc,write:x\nd,pub:x,pub:y\n";
        let complaints = parse(text).unwrap_err();
        let lines: Vec<u64> = complaints.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4, 5, 6], "{complaints:?}");
        for text in [
            "",
            "name\n",
            "client\na\n",
            "name,name\na,b\n",
            "allow\npub:a\n",
        ] {
            assert_eq!(parse(text).unwrap_err().len(), 1, "{text:?}");
        }
    }
}
