//! Lists of labelled videos, one file per format.
