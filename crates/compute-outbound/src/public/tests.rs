use proptest::prelude::*;

use super::*;

const RULES: PublicRules<'_> = PublicRules {
    own_host: Some("shop.example"),
    allows_loopback: false,
};

#[track_caller]
fn check(text: &str, expected: Result<&str, PublicUrlFault>) {
    let parsed = PublicUrl::parse(text, RULES);
    let shown = parsed
        .as_ref()
        .map(PublicUrl::as_str)
        .map_err(|fault| *fault);
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn names_of_the_public_internet_are_accepted() {
    check(
        "https://hooks.example.com/a?b=c",
        Ok("https://hooks.example.com/a?b=c"),
    );
    check(
        "https://hooks.example.com:443/",
        Ok("https://hooks.example.com/"),
    );
    check(
        "HTTPS://HOOKS.Example.com",
        Ok("https://hooks.example.com/"),
    );
    check(
        "https://xn--bcher-kva.example/",
        Ok("https://xn--bcher-kva.example/"),
    );
    check("https://shop.example.com/", Ok("https://shop.example.com/"));
}

#[test]
fn numbers_are_refused_in_every_spelling() {
    for text in [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://1.1.1.1/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[2606:4700::1111]/",
        "https://169.254.169.254/latest/meta-data/",
    ] {
        check(text, Err(PublicUrlFault::Address));
    }
}

#[test]
fn everything_else_is_refused_by_its_rule() {
    use PublicUrlFault::{Fragment, Malformed, Name, Own, Port, Scheme, UserInfo};
    for (text, fault) in [
        ("http://hooks.example.com/", Scheme),
        ("http://127.0.0.1:8000/", Scheme),
        ("ftp://hooks.example.com/", Scheme),
        ("file:///etc/passwd", Scheme),
        ("https://user@hooks.example.com/", UserInfo),
        ("https://user:word@hooks.example.com/", UserInfo),
        ("https://@hooks.example.com/", UserInfo),
        ("https://hooks.example.com:8443/", Port),
        ("https://hooks.example.com:80/", Port),
        ("https://hooks.example.com/#a", Fragment),
        ("https://localhost/", Name),
        ("https://localhost./", Name),
        ("https://a.localhost/", Name),
        ("https://metadata.google.internal/", Name),
        ("https://printer.local/", Name),
        ("https://intranet/", Name),
        ("https://hooks.example.com../", Name),
        ("https://-a.example.com/", Name),
        ("https://shop.example/", Own),
        ("https://SHOP.example./compute", Own),
        ("", Malformed),
        ("hooks.example.com", Malformed),
        ("https://", Malformed),
        ("https://h\u{f6}oks.example.com/", Malformed),
        ("https://hooks.example.com/a b", Malformed),
        ("https://hooks.example.com/\r\nHost: x", Malformed),
    ] {
        check(text, Err(fault));
    }
    let long = format!("https://hooks.example.com/{}", "a".repeat(MAX_URL));
    check(&long, Err(Malformed));
}

#[test]
fn development_may_call_this_machine_in_clear_and_no_other() {
    let rules = PublicRules {
        allows_loopback: true,
        ..RULES
    };
    for text in [
        "http://127.0.0.1:8000/hook",
        "http://localhost:8000/",
        "http://[::1]:1/",
    ] {
        assert!(PublicUrl::parse(text, rules).is_ok(), "{text}");
    }
    for text in [
        "http://hooks.example.com/",
        "http://10.0.0.1/",
        "https://127.0.0.1/",
    ] {
        assert!(PublicUrl::parse(text, rules).is_err(), "{text}");
    }
}

#[test]
fn addresses_that_are_not_public_are_known() {
    for text in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::",
        "3ffe::1",
        "3fff::1",
        "5f00::1",
    ] {
        assert!(!is_public(text.parse().unwrap()), "{text}");
    }
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450::1",
        "2002:808:808::",
    ] {
        assert!(is_public(text.parse().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn what_leads_to_this_machine_is_called_in_development_only() {
    let rules = PublicRules {
        allows_loopback: true,
        ..RULES
    };
    let own = PublicUrl::parse("http://127.0.0.1:8000/", rules).unwrap();
    let expected: SocketAddr = "127.0.0.1:8000".parse().unwrap();
    assert_eq!(own.resolve().await, Ok(vec![expected]));
    // As if DNS had changed its mind since it was registered.
    let rebound = PublicUrl {
        is_loopback: false,
        ..own
    };
    assert_eq!(rebound.resolve().await, Err(ResolveFault::NotPublic));
}

proptest! {
    // Whatever is written, what is accepted is https on port 443 to a name.
    #[test]
    fn whatever_is_accepted_keeps_the_rules(text in "https?://[a-z0-9.:@\\[\\]/?#%_-]{0,40}") {
        if let Ok(accepted) = PublicUrl::parse(&text, RULES) {
            let url = Url::parse(accepted.as_str()).unwrap();
            prop_assert_eq!(url.scheme(), "https");
            prop_assert_eq!(url.port(), None);
            prop_assert!(url.username().is_empty() && url.password().is_none());
            prop_assert!(accepted.host().parse::<IpAddr>().is_err());
            prop_assert!(accepted.host().contains('.'));
        }
    }

    // An address of a range by its standard library's own word is never public.
    #[test]
    fn special_addresses_are_never_public(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from(bits);
        if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
            || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified()
        {
            prop_assert!(!is_public(v4.into()));
        }
        prop_assert!(!is_public(v4.to_ipv6_mapped().into()));
        prop_assert!(!is_public(v4.to_ipv6_compatible().into()));
    }
}
