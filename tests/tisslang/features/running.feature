Feature: Commands
  A script runs commands of the system inside a sandbox.

  Scenario: A command writes a file, and the script sees what it said
    Given the script
      """
      RUN "echo hello | tee out.txt"
      ASSERT LAST_RUN.STDOUT == "hello\n"
      """
    When it is run
    Then it succeeds
    And the file "out.txt" holds "hello\n"

  Scenario: What fills a hole is an argument, whatever is in it
    Given the script
      """
      VAR name = "a b'; touch hacked; echo '"
      RUN "printf %s {{name}} > out.txt"
      """
    When it is run
    Then it succeeds
    And the file "out.txt" holds "a b'; touch hacked; echo '"
    And there is no file "hacked"

  Scenario: Text that was not written in the script needs a permission
    Given the script
      """
      VAR command = "touch made.txt"
      RUN command
      """
    When it is run
    Then it fails with "R204"
    And there is no file "made.txt"

  Scenario: A permission lets it through
    Given the script
      """
      VAR command = "touch made.txt"
      RUN command
      """
    When it is run with the answer "allow"
    Then it succeeds
    And there is a file "made.txt"

  Scenario: A command that takes too long is ended
    Given the script
      """
      RUN "sleep 60" TIMEOUT "300ms"
      """
    When it is run
    Then it fails with "R212"

  Scenario: The environment of whoever runs a script is not the script's
    Given the environment variable "PRIVATE_TOKEN" is "s3cret-value"
    And the script
      """
      RUN "env > out.txt"
      ASSERT NOT FILE "out.txt" CONTAINS "s3cret-value"
      """
    When it is run
    Then it succeeds
