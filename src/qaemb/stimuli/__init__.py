"""Text as it was heard: words in time, how they fall on TRs, and the segments that are asked about."""
