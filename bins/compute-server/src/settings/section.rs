//! How a section of the configuration is declared: once, with its documentation and its defaults.

use super::reader::Reader;

/// A group of keys: it can be read, and it can list itself for `config check` and for the manual.
pub(crate) trait Section: Sized {
    /// What the section is about.
    const ABOUT: &'static str;

    /// Reads every key below `path`; what is wrong is noted in the reader and replaced by the default.
    fn read(reader: &mut Reader, path: &str) -> Self;

    /// Every key with its present value.
    fn rows(&self) -> Vec<Row>;
}

/// One key of a section.
#[derive(Debug)]
pub(crate) struct Row {
    /// The key, without its section.
    pub(crate) key: &'static str,
    /// What kind of value it takes.
    pub(crate) kind: &'static str,
    /// Its value as it may be printed; `None` when it is not set.
    pub(crate) shown: Option<String>,
    /// What it means.
    pub(crate) doc: &'static str,
}

/// Declares a section: `/// doc` and `key: Type = default` for each key.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $( $(#[doc = $doc])+ pub(crate) $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::settings::section::Section for $name {
            const ABOUT: &'static str = concat!($($about),+);

            fn read(reader: &mut $crate::settings::reader::Reader, path: &str) -> Self {
                Self { $( $field: reader.read(path, stringify!($field)).unwrap_or_else(|| $default), )+ }
            }

            fn rows(&self) -> Vec<$crate::settings::section::Row> {
                vec![ $( $crate::settings::section::Row {
                    key: stringify!($field),
                    kind: <$type as $crate::settings::value::Setting>::KIND,
                    shown: $crate::settings::value::Setting::shown(&self.$field),
                    doc: concat!($($doc),+),
                }, )+ ]
            }
        }
    };
}

pub(crate) use section;
