"""What only we remember: tables and their migrations. They can all be lost without losing a job."""
