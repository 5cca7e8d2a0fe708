//! Topics that begin with `$`: which of them are the broker's.

/// Below this a bridge says whether it is connected. mosquitto's bridges put their wills there.
const BRIDGES: &str = "$SYS/broker/connection/";

/// Whether clients may not publish there, whatever their rules say.
pub fn is_brokers(topic: &str) -> bool {
    topic.starts_with('$') && !topic.starts_with(BRIDGES)
}

#[cfg(test)]
mod tests {
    use super::is_brokers;

    #[test]
    fn all_dollar_topics_are_the_brokers_but_those_of_bridges() {
        for (topic, want) in [
            ("a/$SYS", false),
            ("$SYS/broker/connection/b/state", false),
            ("$SYS/broker/connection/", false),
            ("$SYS/broker/connection", true),
            ("$SYS/broker/connections/b", true),
            ("$SYS/broker/version", true),
            ("$share/g/t", true),
            ("$", true),
        ] {
            assert_eq!(is_brokers(topic), want, "{topic}");
        }
    }
}
