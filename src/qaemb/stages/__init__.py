"""One function a stage: it reads files, calls rooms, writes files and tells the tracker."""
