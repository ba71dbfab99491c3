"""The doctor: what is missing, wrong or suspicious in a folder of stories and responses, file by file."""
