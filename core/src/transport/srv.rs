//! SRV records (RFC 2782): which hosts and ports serve a name.
//!
//! hickory asks, because the system's resolver has no call for it. It is made anew for each attempt: the records are
//! there to be changed, and a client asks only when it connects.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use remqtt_proto::{Error, ErrorCode, Options};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    host: String,
    port: u16,
}

/// The targets in the order in which they are tried.
pub(super) async fn lookup(name: &str, tls: bool, options: &Options) -> Result<Vec<(String, u16)>, Error> {
    // Registered names; mqtts is "secure-mqtt" there.
    let service = if tls { "_secure-mqtt" } else { "_mqtt" };
    let question = format!("{service}._tcp.{}.", name.trim_end_matches('.'));
    let failed = |why: String| Error::new(ErrorCode::ResolveFailed, format!("SRV {question} {why}"));
    let servers = name_servers(&options.dns_servers)?;
    // The system's configuration is a file.
    let built = tokio::task::spawn_blocking(move || resolver(servers)).await;
    let resolver = built.map_err(|_| failed("the resolver panicked".to_owned()))?.map_err(&failed)?;
    let answer = resolver.srv_lookup(question.as_str()).await.map_err(|error| failed(error.to_string()))?;
    let records = answer.answers().iter().filter_map(|record| match &record.data {
        // The target "." says that there is no such service.
        RData::SRV(srv) if !srv.target.is_root() => Some(Record {
            priority: srv.priority,
            weight: srv.weight,
            host: srv.target.to_utf8().trim_end_matches('.').to_owned(),
            port: srv.port,
        }),
        _ => None,
    });
    let random = RandomState::new();
    let mut draws = 0_u64;
    let ordered = ordered(records.collect(), |below| {
        draws += 1;
        random.hash_one(draws) % below
    });
    match ordered.is_empty() {
        true => Err(failed("the name offers no such service".to_owned())),
        false => Ok(ordered),
    }
}

/// Priorities ascend; within one, each place is drawn with chances as the weights are (RFC 2782, page 3).
fn ordered(mut records: Vec<Record>, mut draw_below: impl FnMut(u64) -> u64) -> Vec<(String, u16)> {
    // Those without weight come first among equals, so that they have a small chance too.
    records.sort_by_key(|record| (record.priority, record.weight > 0));
    let mut ordered = Vec::new();
    while let Some(first) = records.first() {
        let peers = records.iter().take_while(|record| record.priority == first.priority).count();
        let total: u64 = records[..peers].iter().map(|record| u64::from(record.weight)).sum();
        let mut left = draw_below(total + 1);
        let chosen = records[..peers].iter().position(|record| {
            let hit = left <= u64::from(record.weight);
            left = left.saturating_sub(u64::from(record.weight));
            hit
        });
        let record = records.remove(chosen.unwrap_or(0));
        ordered.push((record.host, record.port));
    }
    ordered
}

fn resolver(servers: Option<Vec<SocketAddr>>) -> Result<TokioResolver, String> {
    let builder: ResolverBuilder<_> = match servers {
        None => TokioResolver::builder_tokio().map_err(|error| error.to_string())?,
        Some(servers) => {
            let servers = servers.into_iter().map(|address| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                NameServerConfig::new(address.ip(), true, connections)
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.build().map_err(|error| error.to_string())
}

/// The name servers of the option; `None` leaves it to the system.
pub(super) fn name_servers(list: &str) -> Result<Option<Vec<SocketAddr>>, Error> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let parsed: Option<Vec<_>> = entries
        .map(|entry| match entry.parse::<IpAddr>() {
            Ok(address) => Some(SocketAddr::new(address, 53)),
            Err(_) => entry.parse().ok(),
        })
        .collect();
    let refused = || {
        Error::new(
            ErrorCode::InvalidOption,
            format!("dns_servers = {list:?}: addresses, separated by commas"),
        )
    };
    parsed.map(|servers| (!servers.is_empty()).then_some(servers)).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str) -> Record {
        Record { priority, weight, host: host.to_owned(), port: 1 }
    }

    fn hosts(records: &[Record], draws: &mut impl FnMut(u64) -> u64) -> String {
        ordered(records.to_vec(), draws).into_iter().map(|(host, _)| host).collect()
    }

    #[test]
    fn priorities_come_in_order_and_weights_are_chances() {
        let records = [record(20, 0, "z"), record(10, 60, "a"), record(10, 20, "b"), record(10, 0, "c")];
        assert_eq!(hosts(&records, &mut |_| 0), "cabz", "the weightless has its small chance");
        assert_eq!(hosts(&records, &mut |below| below - 1), "bacz");
        let random = RandomState::new();
        let mut count = 0;
        let mut first_a = 0;
        for _ in 0..10_000 {
            let order = hosts(&records, &mut |below| {
                count += 1;
                random.hash_one(count) % below
            });
            assert!(order.ends_with('z'));
            first_a += u32::from(order.starts_with('a'));
        }
        assert!((7_000..7_900).contains(&first_a), "60 of 81 draws are for a: {first_a}");
    }

    #[test]
    fn name_servers_have_port_53_unless_they_say_so() {
        let parsed = name_servers("127.0.0.1, [::1]:99").unwrap().unwrap();
        assert_eq!(parsed, ["127.0.0.1:53".parse().unwrap(), "[::1]:99".parse().unwrap()]);
        assert_eq!(name_servers("").unwrap(), None);
        assert_eq!(name_servers("dns.example").unwrap_err().code, ErrorCode::InvalidOption);
    }
}
