Feature: Files
  A script reads and writes files of its project, and no others.

  Scenario: A file is written as a whole
    Given the script
      """
      STEP "Write it" {
          VAR name = "Ada"
          WRITE "out.txt" <<TEXT
      Dear {{name}},

      a blank line stays.
      TEXT
      }
      """
    When it is run
    Then it succeeds
    And the file "out.txt" holds
      """
      Dear Ada,

      a blank line stays.

      """

  Scenario: A file outside of the project cannot be reached
    Given a file "../secret.txt" with "hidden"
    And the script
      """
      READ "../secret.txt" AS secret
      """
    When it is run
    Then it fails with "R203"
    And the message has "secret.txt"

  Scenario: What a link leads to outside of the project cannot be reached either
    Given a file "../secret.txt" with "hidden"
    And a link "inside.txt" to "../secret.txt"
    And the script
      """
      READ "inside.txt" AS secret
      """
    When it is run
    Then it fails with "R203"

  Scenario: A step on a copy leaves nothing behind when it fails
    Given a file "kept.txt" with "before"
    And the script
      """
      STEP "Try it" {
          @sandbox txn
          WRITE "kept.txt" "after"
          WRITE "new.txt" "new"
          RUN "echo more >> kept.txt"
          ASSERT FILE "kept.txt" == "something else"
      }
      """
    When it is run
    Then it fails with "R202"
    And the file "kept.txt" holds "before"
    And there is no file "new.txt"
